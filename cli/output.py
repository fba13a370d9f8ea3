"""Write answers: as JSON, as ids only, as tables on a terminal, as plain rows in a pipe."""

import json
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import click

from fornada.cli.tables import (
    EMPTY,
    GAP,
    NARROWEST,
    Column,
    clipped,
    drawn,
    fits,
    heads,
    layout,
    padded,
    width_of,
)

if TYPE_CHECKING:
    from rich.console import Console

    from fornada.spec import Problem

# Signs that turn the direction of the text after them, also beyond their cell.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Output:
    """Writes answers in the form that `--json`, `-q` and `--color` ask for."""

    json: bool = False
    quiet: bool = False
    color: str = "auto"
    # Warnings that were already printed.
    _warned: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def document(self, value: Any) -> None:
        """Write a JSON document to stdout; its keys keep the order that they have in `value`."""
        # Another encoding may lack a character, and JSON has escape sequences of its own.
        ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
        click.echo(json.dumps(value, indent=2, ensure_ascii=ascii_only, allow_nan=False))

    def for_programs(self, rows: Sequence[Mapping[str, Any]], *, key: str = "id") -> bool:
        """Write rows for a program: as JSON (`--json`), or one key per row (`-q`).

        Args:
            rows: the rows of a list.
            key: the key whose value `-q` prints.
        Returns:
            True if the rows were written, because `--json` or `-q` was given.
        """
        if self.json:
            self.document(rows)
        elif self.quiet:
            for row in rows:
                self.line(str(row[key]))
        return self.json or self.quiet

    def line(self, text: str) -> None:
        """Write one line of the answer to stdout."""
        click.echo(text, color=self.colored(sys.stdout))

    def note(self, text: str) -> None:
        """Write one line of progress to stderr, unless `-q` was given."""
        if not self.quiet:
            click.echo(text, err=True)

    def warn(self, text: str) -> None:
        """Write a warning to stderr, even with `-q`; each text only once per command."""
        if text in self._warned:
            return
        self._warned.add(text)
        click.secho(f"Warning: {text}", err=True, fg="yellow", color=self.colored(sys.stderr))

    def warn_of(self, problem: "Problem") -> None:
        """Write a warning about a likely mistake to stderr."""
        self.warn(str(problem))

    def warn_each(self, warnings: "Iterable[Problem]") -> None:
        """Write warnings about likely mistakes to stderr, each text only once."""
        for text in dict.fromkeys(map(str, warnings)):
            self.warn(text)

    def table(
        self,
        columns: Sequence[Column],
        rows: Iterable[Sequence[object]],
        *,
        empty: str,
        narrow: "tuple[Sequence[Column], Iterable[Sequence[object]]] | None" = None,
    ) -> None:
        """Write a table to a terminal, or tab-separated rows without a header to a pipe.

        Args:
            columns: the columns.
            rows: one cell for each column; None is an empty cell.
            empty: written to stderr when there are no rows.
            narrow: other columns and rows, for a terminal that is too narrow for the first ones.
        """
        cells = _cells(rows)
        if not cells:
            self.note(empty)
        elif self.rich(sys.stdout):
            width = terminal_width()
            if narrow is not None and not fits(columns, cells, width):
                columns, cells = narrow[0], _cells(narrow[1])
            self._draw(columns, cells, width)
        else:
            for row in cells:
                click.echo("\t".join(map(_in_one_cell, row)))

    def separated(self, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Write rows separated by tabs for a program, with the names of the columns above them.

        Args:
            head: the names.
            rows: one cell for each name; None is an empty cell.
        """
        for row in [head, *rows]:
            click.echo("\t".join("" if cell is None else _in_one_cell(str(cell)) for cell in row))

    def _draw(self, columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> None:
        clean = [[_printable(cell) for cell in row] for row in cells]
        made = layout(columns, clean, width)
        for line in heads(columns, made):
            self.line(click.style(GAP.join(line).rstrip(), bold=True))
        for row in clean:
            for line in drawn(columns, row, made):
                self.line(GAP.join(map(self.styled, line)).rstrip())
        if made.left_out:
            self.note(f"no room for {', '.join(made.left_out)}: a wider terminal or --json has all")

    def facts(self, facts: Mapping[str, object], *, title: str = "") -> None:
        """Write names and values, one pair per line; leave out values that are None."""
        shown = {name: value for name, value in facts.items() if value is not None}
        width = max(map(width_of, shown), default=0)
        if title:
            self.heading(title)
        for name, value in shown.items():
            text = str(value).replace("\n", "\n" + " " * (width + len(GAP)))
            self.line(f"{padded(name, width)}{GAP}{self.styled(text)}")

    def heading(self, text: str) -> None:
        """Write the heading of a part of the answer."""
        click.secho(text, bold=True, color=self.colored(sys.stdout))

    def grid(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        paint: Callable[[int, int], Mapping[str, Any]] = lambda row, column: {},
    ) -> None:
        """Write a small aligned table. Only a terminal that is too narrow cuts names.

        Args:
            head: the name of each column; the first column holds names, the others numbers.
            rows: the cells of each row.
            paint: returns the style of a number, given its row and its column from 0.
        """
        widths = [max(map(width_of, column)) for column in zip(head, *rows, strict=True)]
        if self.rich(sys.stdout):
            # A long name is cut before a number would be broken.
            room = terminal_width() - sum(widths[1:]) - len(GAP) * (len(widths) - 1)
            widths[0] = min(widths[0], max(room, NARROWEST))
        for place, line in enumerate([head, *rows], start=-1):
            cells = [padded(clipped(line[0], widths[0]), widths[0])]
            for column, (cell, width) in enumerate(zip(line[1:], widths[1:], strict=True)):
                style = paint(place, column) if place >= 0 else {}
                cells.append(
                    click.style(padded(cell, width, right=True), **style, reset=bool(style))
                )
            self.line("  ".join(cells))

    def has_room(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
        """Whether the lines of `grid` are no longer than the terminal is wide; a pipe has room."""
        widths = [max(map(width_of, column)) for column in zip(head, *rows, strict=True)]
        wide = sum(widths) + len(GAP) * (len(widths) - 1)
        return not self.rich(sys.stdout) or wide <= terminal_width()

    def styled(self, text: str) -> str:
        """The text, coloured if it is a state; `line` removes the colour if colours are off."""
        style = STYLES.get(text.strip())
        return click.style(text, fg=style) if style else text

    def colored(self, stream: IO[str]) -> bool:
        """Whether text on this stream has colours."""
        if self.color != "auto":
            return self.color == "always"
        return not os.environ.get("NO_COLOR") and self.redraws(stream)

    def rich(self, stream: IO[str]) -> bool:
        """Whether this stream gets tables instead of plain lines."""
        return stream.isatty() or self.color == "always"

    def redraws(self, stream: IO[str]) -> bool:
        """Whether this stream can show a progress bar: a terminal that knows escape sequences."""
        dumb = os.environ.get("TERM") == "dumb"
        return self.color == "always" or (stream.isatty() and not dumb)

    def console(self, stream: IO[str]) -> "Console":
        """A Rich console for this stream that follows `--color` and NO_COLOR too."""
        from rich.console import Console

        colored = self.colored(stream)
        return Console(
            file=stream,
            force_terminal=True if self.color == "always" else None,
            no_color=not colored,
            color_system="auto" if colored else None,
            highlight=False,
        )


def _cells(rows: Iterable[Sequence[object]]) -> list[Sequence[str]]:
    return [[EMPTY if cell is None else str(cell) for cell in row] for row in rows]


def terminal_width() -> int:
    """Columns of the terminal: those of COLUMNS, else of stdout, else 80."""
    return shutil.get_terminal_size().columns


def _in_one_cell(text: str) -> str:
    """The whole text, without the tabs and ends of lines that would begin another cell or row."""
    return re.sub(r"[\t\n\r]", " ", text)


def _printable(text: str) -> str:
    """The text without signs that control a terminal, such as those that a tag may have."""
    return "".join(letter if letter.isprintable() or _shapes(letter) else " " for letter in text)


def _shapes(letter: str) -> bool:
    """Whether a sign only shapes its neighbours: it joins emoji, for example."""
    return unicodedata.category(letter) == "Cf" and letter not in _DIRECTIONS


# Colours of states, the same everywhere.
STYLES = {
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "lost": "red",
    "ok": "green",
    "wrong": "red",
}
