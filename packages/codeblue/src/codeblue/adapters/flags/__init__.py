"""Stores of feature flags, one a file: each keeps `ports.flags.FlagStore`."""
