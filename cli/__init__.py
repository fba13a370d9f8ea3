"""How a person asks: the `fornada` command."""
