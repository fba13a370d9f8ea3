"""A command group that imports the module of a command only when the command is used."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


# Words that people use for a command of another name.
_MEANINGS = {
    "abort": "cancel",
    "delete": "cancel",
    "history": "ls",
    "info": "show",
    "jobs": "ls",
    "kill": "cancel",
    "list": "ls",
    "pause": "hold",
    "rerun": "retry",
    "restart": "retry",
    "resume": "retry",
    "rm": "cancel",
    "start": "up",
    "status": "show",
    "stop": "cancel",
    "train": "run",
    "validate": "check",
}


class LazyGroup(click.Group):
    """A group that takes its help and completion from a table, without importing its commands.

    Args:
        lazy: maps the name of a command to its place ("module:attribute") and its line of help.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All command names, in the order of the table: the order in which people use them."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command that was asked for."""
        if cmd_name not in self.lazy:
            return None
        module, attribute = self.lazy[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for an unknown name, suggest what it means."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from fornada.spec.wording import did_you_mean

            meant = _MEANINGS.get(args[0].lower(), "")
            hint = did_you_mean(meant if meant in self.lazy else args[0], self.lazy)
            raise click.UsageError(error.message + hint, ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.lazy.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """Complete command names, with their lines of help from the table."""
        # Slower to import than the rest of this module, and only completion needs it.
        from click.shell_completion import CompletionItem

        items = [
            CompletionItem(name, help=line)
            for name, (_, line) in self.lazy.items()
            if name.startswith(incomplete)
        ]
        return items + click.Command.shell_complete(self, ctx, incomplete)
