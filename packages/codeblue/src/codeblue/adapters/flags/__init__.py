"""Where flags are kept besides the service's own operator commands: keep `ports.flags.FlagStore`."""
