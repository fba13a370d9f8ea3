"""Draw what a command prints on a real terminal, as docs/demo.svg of the README.

Run it where the picture should be true: `python docs/picture.py make demo`.
"""

import io
import os
import pty
import shlex
import sys
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, LINES = 100, 60
PICTURE = Path(__file__).with_name("demo.svg")
# pyte's names of the eight colours; it calls yellow brown.
COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow"}


def record(command: list[str]) -> pyte.HistoryScreen:
    """Run a command on a terminal of our own and return the screen it leaves."""
    screen = pyte.HistoryScreen(COLUMNS, LINES, history=1000, ratio=1)
    stream = pyte.ByteStream(screen)
    pid, terminal = pty.fork()
    if pid == 0:
        size = {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm-256color"}
        os.execvpe(command[0], command, os.environ | size)  # noqa: S606 - the command is ours
    while True:
        try:
            content = os.read(terminal, 65536)
        except OSError:
            # How Linux says that the other side of a terminal is closed.
            break
        if not content:
            break
        os.write(sys.stdout.fileno(), content)
        stream.feed(content)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        sys.exit(f"{shlex.join(command)} failed; the picture stays as it was")
    return screen


def line(cells: dict[int, pyte.screens.Char]) -> Text:
    """One line of the screen with its colours."""
    text = Text()
    for column in range(COLUMNS):
        cell = cells[column]
        colour = COLOURS.get(cell.fg, cell.fg)
        if len(colour) == 6 and colour.isalnum() and not colour.isalpha():
            colour = f"#{colour}"
        style = Style(color=None if colour == "default" else colour, bold=cell.bold)
        text.append(cell.data, style)
    text.rstrip()
    return text


def main() -> None:
    command = sys.argv[1:] or ["make", "demo"]
    screen = record(command)
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text(f"$ {shlex.join(command)}", style="bold"))
    rows = [*screen.history.top, *(screen.buffer[row] for row in range(LINES))]
    lines = [line(cells) for cells in rows]
    while lines and not lines[-1].plain:
        lines.pop()
    for text in lines:
        console.print(text, no_wrap=True)
    console.save_svg(str(PICTURE), title=shlex.join(command))


if __name__ == "__main__":
    main()
