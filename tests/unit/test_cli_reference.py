"""The pages that are written from the code, and the help they are written from."""

import inspect
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from fornada.cli.exit_codes import MEANINGS, ExitCode
from fornada.cli.main import COMMANDS, fornada
from fornada.cli.reference import cli_page, commands, settings_page

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "written"), [("cli.md", cli_page), ("settings.md", settings_page)]
)
def test_committed_page_is_what_the_code_says(page: str, written: Callable[[], str]) -> None:
    committed = (DOCS / page).read_text()
    assert committed == written(), "write it again: python -P -m fornada.cli.reference docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_lazy_table_says_what_the_command_says(name: str) -> None:
    command = fornada.get_command(click.Context(fornada), name)
    assert command is not None
    assert command.name == name
    first_line = inspect.cleandoc(command.help or "").splitlines()[0]
    assert COMMANDS[name][1] == first_line


@pytest.mark.parametrize("path", [" ".join(path) for _, path in commands(fornada, ())])
def test_every_command_has_help_with_an_example(path: str) -> None:
    command = next(one for one, where in commands(fornada, ()) if " ".join(where) == path)
    assert "\b\nExample" in inspect.cleandoc(command.help or "")
    assert f"fornada {path}" in (command.help or "")


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)
