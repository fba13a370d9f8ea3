"""Each option that a page, a help or a message names exists on the command it is shown with."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fornada.cli.main import fornada
from fornada.cli.reference import commands
from tests.unit.test_docs import PAGES, PROJECT

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
# A command with its options, in prose, in a code span or in a message. A line may be folded after a
# word; a sign of the shell, a bracket, a semicolon or a full stop ends it.
COMMAND = re.compile(r"\bfornada ((?:[^\s`|;&>)]+(?<![.,:])[ ]?)+)")
# Options of other programs that the pages and messages name: docker compose, systemctl, pip, uv,
# Redis, Ruff, our benchmarks and tests.
OTHERS = {
    *("--rm", "--scale", "--aclfile", "--now", "--require-hashes", "--no-deps", "--no-isolation"),
    *("--compile-bytecode", "--cost-by-file", "--nets", "--seed"),
    *("--per-class-train", "--per-class-test"),
    # Of useradd, systemctl, and of fish, whose script names them.
    *("--home-dir", "--system", "--user", "--arguments", "--command", "--max", "--no-files"),
    # Of docker compose, pg_dump and psql.
    *("--detach", "--entrypoint", "--env-file", "--volumes"),
    *("--dbname", "--exit-on-error", "--format", "--username"),
    # Of redis-server, for TLS.
    *("--port", "--tls-port", "--tls-cert-file", "--tls-key-file", "--tls-auth-clients"),
    # Of processes that the commands start.
    *("--parent", "--begun", "--heartbeat", "--data-root", "--xla", "--factory-fd"),
}
WORKER = re.compile(r"\bfornada-worker((?: [^\s`|;#>)]+(?<![.,:]))+)")
BY_PATH = {path: command for command, path in commands(fornada, ())}


def options(command: click.Command) -> set[str]:
    """Every way to write an option of a command."""
    names = {"--help", "--debug", "--version"}
    for parameter in command.params:
        names |= {*parameter.opts, *parameter.secondary_opts}
    return names


def resolved(words: list[str]) -> click.Command | None:
    """The command that the words begin with; None if they are prose such as `fornada and make`."""
    longest = [BY_PATH[tuple(words[:n])] for n in (2, 1) if tuple(words[:n]) in BY_PATH]
    return longest[0] if longest else None


ALL = {name for command in BY_PATH.values() for name in options(command)}
WORKER_OPTIONS = {
    *re.findall(r'"(--[a-z-]+)"', (PROJECT / "worker" / "host" / "options.py").read_text()),
}


def strings(path: Path) -> Iterator[str]:
    """The texts of a module, docstrings too, with the parts of f-strings as they are written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def texts() -> list[tuple[str, str]]:
    """(where, text) of every page and of every text in the product."""
    found = [(page.name, page.read_text()) for page in PAGES]
    for package in ("cli", "db", "fornada", "worker"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            where = str(path.relative_to(PROJECT))
            if ".venv" not in path.parts and not path.parent.is_symlink():
                found += [(where, text) for text in strings(path) if "--" in text]
    return found


def test_a_command_that_is_shown_has_the_options_it_is_shown_with() -> None:
    wrong, shown = [], 0
    for where, text in texts():
        for line in COMMAND.findall(text):
            words = line.split()
            command = resolved(words)
            if command is None:
                continue
            shown += 1
            unknown = set(OPTION.findall(line)) - options(command)
            wrong += [(where, line, unknown)] if unknown else []
        for line in WORKER.findall(text):
            unknown = set(OPTION.findall(line)) - WORKER_OPTIONS
            wrong += [(where, line, unknown)] if unknown else []
    assert wrong == []
    assert shown > 100


def test_an_option_that_stands_alone_is_one_of_some_command() -> None:
    named = {(where, name) for where, text in texts() for name in OPTION.findall(text)}
    known = ALL | OTHERS | WORKER_OPTIONS
    assert {(where, name) for where, name in named if name not in known} == set()
    # A name that is not in use any more leaves the list, so that it excuses nothing.
    assert OTHERS - {name for _, name in named} == set()


def test_an_option_beside_a_command_is_one_of_that_command() -> None:
    """`fornada ls --json` is `{…, next}`; pass `next` to `--cursor`."""
    wrong = []
    for page in PAGES:
        for line in page.read_text().splitlines():
            found = [resolved(words.split()) for words in COMMAND.findall(line)]
            shown = [command for command in found if command is not None]
            alone = set(re.findall(r"`(--[a-z-]+)[^`]*`", line))
            # A row of the table of a command's options may name another command.
            of_table = line.startswith("| `--")
            if shown and not of_table and not alone <= set().union(*map(options, shown)):
                wrong.append((page.name, line))
    assert wrong == []


@pytest.mark.parametrize("path", BY_PATH, ids=" ".join)
def test_a_help_text_names_only_options_of_its_own_command(path: tuple[str, ...]) -> None:
    command = BY_PATH[path]
    helps = [command.help or "", *(getattr(each, "help", None) or "" for each in command.params)]
    alone = [COMMAND.sub("", text) for text in helps]
    named = {name for text in alone for name in OPTION.findall(text)}
    assert named <= options(command)
