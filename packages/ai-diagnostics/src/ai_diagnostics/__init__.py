"""AI Diagnostics: the protected service, small and real (R59-R62a), with emulators of what it depends on."""

__version__ = "0.1.0"
