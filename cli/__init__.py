"""The command line: the `fornada` command and all its subcommands."""
