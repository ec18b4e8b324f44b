"""The command line: a verb is a file. It parses, asks, shows and answers with an exit code; it decides nothing."""
