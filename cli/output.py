"""Write answers: as JSON, as ids only, as tables on a terminal, as plain rows in a pipe."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from fornada.spec import Problem

# The text of a cell without a value. It keeps the number of columns the same in plain rows.
EMPTY = "-"
# The gap between two columns if the terminal is wide enough.
GAP = "  "


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        head: the name above the column.
        right: whether to align the cells right, as numbers.
        wraps: whether long cells wrap when the terminal is too narrow; for free text.
    """

    head: str
    right: bool = False
    wraps: bool = False


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
        click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))

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
            if narrow is not None and not self._fit(columns, cells):
                columns, cells = narrow[0], _cells(narrow[1])
            self._rich_table(columns, cells)
        else:
            for row in cells:
                click.echo("\t".join(row))

    def _rich_table(self, columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        fits = self._fit(columns, cells)
        filled = _without_empty_last_columns(cells)
        widest = _widest(filled)
        columns = columns[: len(widest)]
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.padding = (0, len(GAP) if fits else 1, 0, 0)
        for column, wide in zip(columns, widest, strict=True):
            table.add_column(
                Text(column.head if fits or len(column.head) <= wide else _broken(column.head)),
                justify="right" if column.right else "left",
                no_wrap=not column.wraps,
                overflow="fold" if column.wraps else "ellipsis",
            )
        for row in filled:
            table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
        self.console(sys.stdout).print(table)

    def _fit(self, columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> bool:
        """Whether the terminal is wide enough for the columns without wrapping."""
        widest = _widest(_without_empty_last_columns(cells))
        widths = [
            max(len(column.head), wide) for column, wide in zip(columns, widest, strict=False)
        ]
        return sum(widths) + len(GAP) * (len(widths) - 1) <= self.console(sys.stdout).width

    def facts(self, facts: Mapping[str, object], *, title: str = "") -> None:
        """Write names and values, one pair per line; leave out values that are None."""
        shown = {name: value for name, value in facts.items() if value is not None}
        width = max(map(len, shown), default=0)
        if title:
            self.heading(title)
        for name, value in shown.items():
            text = str(value).replace("\n", "\n" + " " * (width + len(GAP)))
            self.line(f"{name:<{width}}{GAP}{self.styled(text)}")

    def heading(self, text: str) -> None:
        """Write the heading of a part of the answer."""
        click.secho(text, bold=True, color=self.colored(sys.stdout))

    def grid(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        paint: Callable[[int, int], Mapping[str, Any]] = lambda row, column: {},
    ) -> None:
        """Write a small aligned table, the same on a terminal and in a pipe.

        Args:
            head: the name of each column; the first column holds names, the others numbers.
            rows: the cells of each row.
            paint: returns the style of a number, given its row and its column from 0.
        """
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        for place, line in enumerate([head, *rows], start=-1):
            cells = [f"{line[0]:<{widths[0]}}"]
            for column, (cell, width) in enumerate(zip(line[1:], widths[1:], strict=True)):
                style = paint(place, column) if place >= 0 else {}
                cells.append(click.style(f"{cell:>{width}}", **style, reset=bool(style)))
            self.line("  ".join(cells))

    def styled(self, text: str) -> str:
        """The text, coloured if it is a state; `line` removes the colour if colours are off."""
        style = STYLES.get(text)
        return click.style(text, fg=style) if style else text

    def colored(self, stream: IO[str]) -> bool:
        """Whether text on this stream has colours."""
        if self.color != "auto":
            return self.color == "always"
        return not os.environ.get("NO_COLOR") and stream.isatty()

    def rich(self, stream: IO[str]) -> bool:
        """Whether this stream gets tables and progress bars instead of plain lines."""
        return stream.isatty() or self.color == "always"

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


def _widest(cells: Sequence[Sequence[str]]) -> list[int]:
    """The length of the longest cell of each column."""
    return [max(map(len, below)) for below in zip(*cells, strict=True)]


def _without_empty_last_columns(cells: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The rows without empty columns at their right end, which would only take up space."""
    end = max(
        (place + 1 for row in cells for place, cell in enumerate(row) if cell != EMPTY), default=0
    )
    return [row[:end] for row in cells]


def _broken(head: str) -> str:
    """A long head broken into lines: `val_`, and below it `loss`."""
    return re.sub(r"(?<=_)|\s", "\n", head)


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
