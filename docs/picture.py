"""Draw what a command prints on a real terminal, as docs/demo.svg of the README.

Run it where the picture should be true: `python docs/picture.py make demo`.
"""

import io
import os
import pty
import re
import shlex
import sys
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, LINES = 100, 60
PICTURE = Path(__file__).with_name("demo.svg")
# pyte's names of the eight colours; it calls yellow brown.
COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow"}
# Rich's own, without the fonts that it would load from elsewhere.
FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px monospace }}
.{unique_id}-title {{ font: bold 18px sans-serif }}
{styles}
</style>
{chrome}
<g class="{unique_id}-matrix" transform="translate({terminal_x}, {terminal_y})">
{backgrounds}{matrix}</g>
</svg>
"""


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
    """One line of the screen with its colours, in few pieces."""
    text = Text()
    styled = [(style_of(cells[column]), cells[column].data) for column in range(COLUMNS)]
    for style, run in groupby(styled, itemgetter(0)):
        # Each piece is drawn at its own place, so columns stay columns whatever the font.
        for piece in re.split("(^ +| {2,}| +$)", "".join(data for _, data in run)):
            text.append(piece, style)
    text.rstrip()
    return text


def style_of(cell: pyte.screens.Char) -> Style:
    colour = COLOURS.get(cell.fg, cell.fg)
    if len(colour) == 6 and colour.isalnum() and not colour.isalpha():
        colour = f"#{colour}"
    # A space has no colour, and parts no words of one colour.
    plain = colour == "default" or cell.data == " "
    return Style(color=None if plain else colour, bold=cell.bold)


def svg(lines: list[Text], command: str) -> str:
    """The picture of a terminal that shows the lines."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for text in [Text(f"$ {command}", style="bold"), *lines]:
        console.print(text, no_wrap=True)
    drawn = console.export_svg(title=command, code_format=FORMAT, unique_id="t")
    # No line is wider than the terminal, so none needs a clip path of its own.
    drawn = re.sub(r' clip-path="url\(#t-line-\d+\)"', "", drawn)
    # Rich writes the end of each line as a text, too.
    drawn = re.sub(r"<text [^>]*>\n</text>", "\n", drawn)
    return re.sub(r"\n[ \n]*", "\n", drawn.replace("&#160;", "\N{NO-BREAK SPACE}"))


def main() -> None:
    command = sys.argv[1:] or ["make", "demo"]
    screen = record(command)
    rows = [*screen.history.top, *(screen.buffer[row] for row in range(LINES))]
    lines = [line(cells) for cells in rows]
    while lines and not lines[-1].plain:
        lines.pop()
    PICTURE.write_text(svg(lines, shlex.join(command)))


if __name__ == "__main__":
    main()
