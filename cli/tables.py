"""Lays out tables for a terminal: which columns fit, how wide each is, and where cells are folded.

A terminal counts columns, not characters: 日 takes two, and an accent on a letter none.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# The text of a cell without a value. It keeps the number of columns the same in plain rows.
EMPTY = "-"
# The gap between two columns.
GAP = "  "
# Columns of the terminal that a column of free text keeps, as long as others can be left out.
LEAST = 16
# The least that is left of such a column when no other can be left out any more.
NARROWEST = 4
# Joins emoji to one: 👩‍🔬 is 👩, this and 🔬.
_JOINER = "\u200d"
# Asks for the coloured form of the sign before it, which is two columns wide.
_COLOURED = "\ufe0f"
# Colours the skin of the emoji before it.
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff]")
# Where free text may be broken: behind these signs, and behind a hyphen between two letters (but
# not within `1e-07`, 2026-11-30 or 0.5).
_BREAKS = re.compile(r"(?<=[\s_/=,])|(?<=[^\W\d_]-)(?=[^\W\d_])")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        head: the name above the column.
        right: whether to align the cells right, as numbers.
        wraps: whether long cells are folded if the terminal is too narrow; for free text.
        weight: if the terminal is too narrow, columns are left out, the lowest weight first.
            None: the column always stays.
        rare: whether the column is left out if it is empty, however wide the terminal is.
    """

    head: str
    right: bool = False
    wraps: bool = False
    weight: int | None = None
    rare: bool = False


@dataclass(frozen=True)
class Layout:
    """How a table is drawn.

    Attributes:
        places: which columns are shown, from 0.
        widths: the width of each of them, in columns of the terminal.
        left_out: heads of the columns that have values but no room.
    """

    places: Sequence[int]
    widths: Sequence[int]
    left_out: Sequence[str]


def width_of(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        # Most texts are, and need no look at each letter.
        return len(text)
    return sum(map(_width, _clusters(text)))


def padded(text: str, width: int, *, right: bool = False) -> str:
    """The text with spaces after it, or before it, up to `width` columns of the terminal."""
    spaces = " " * (width - width_of(text))
    return spaces + text if right else text + spaces


def clipped(text: str, width: int) -> str:
    """The text if it fits, else as much of its beginning as fits before an ellipsis."""
    if width_of(text) <= width:
        return text
    kept = ""
    for cluster in _clusters(text):
        if width_of(kept + cluster) > width - 1:
            break
        kept += cluster
    return f"{kept.rstrip()}…"


def layout(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> Layout:
    """Fit columns into a terminal: fold free text first, then leave out columns by weight.

    Args:
        columns: the columns.
        cells: rows with one cell for each column.
        width: of the terminal.
    """
    filled = [any(row[place] != EMPTY for row in cells) for place in range(len(columns))]
    # Empty columns at the right end would only take up space.
    end = max((place + 1 for place, some in enumerate(filled) if some), default=len(columns))
    places = [place for place in range(end) if filled[place] or not columns[place].rare]
    wanted = [_widest(column, [row[p] for row in cells]) for p, column in enumerate(columns)]
    if _sum([wanted[place] for place in places]) <= width:
        return Layout(places, [wanted[place] for place in places], ())
    least = [_least(column, [row[p] for row in cells]) for p, column in enumerate(columns)]
    left_out: list[int] = []
    while _sum([least[place] for place in places]) > width:
        weights = {p: weight for p in places if (weight := columns[p].weight) is not None}
        if not weights:
            break
        lightest = min(weights, key=lambda place: (filled[place], weights[place], -place))
        places.remove(lightest)
        left_out += [lightest] if filled[lightest] else []
    widths = _shared(columns, places, wanted, least, width)
    return Layout(places, widths, [columns[place].head for place in sorted(left_out)])


def fits(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> bool:
    """Whether a terminal has room for all columns without folding a cell."""
    made = layout(columns, cells, width)
    wanted = [_widest(columns[place], [row[place] for row in cells]) for place in made.places]
    return not made.left_out and list(made.widths) == wanted


def folded(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` columns, broken between words where possible."""
    lines = [""]
    for part in _pieces(text, width):
        if width_of((lines[-1] + part).rstrip()) <= width:
            lines[-1] += part
        else:
            lines.append(part)
    return [line.strip() for line in lines]


def drawn(columns: Sequence[Column], row: Sequence[str], made: Layout) -> Iterator[list[str]]:
    """The lines of one row; each is a list of padded cells."""
    cells = [
        folded(row[place], width) if columns[place].wraps else row[place].split("\n")
        for place, width in zip(made.places, made.widths, strict=True)
    ]
    for line in range(max(map(len, cells))):
        yield [
            padded(cell[line] if line < len(cell) else "", width, right=columns[place].right)
            for place, cell, width in zip(made.places, cells, made.widths, strict=True)
        ]


def heads(columns: Sequence[Column], made: Layout) -> Iterator[list[str]]:
    """The lines of the head: a head that is longer than its column is broken."""
    row = [""] * len(columns)
    for place, width in zip(made.places, made.widths, strict=True):
        row[place] = "\n".join(folded(columns[place].head, width))
    plain = [Column(column.head, column.right) for column in columns]
    return drawn(plain, row, made)


def _shared(
    columns: Sequence[Column],
    places: Sequence[int],
    wanted: Sequence[int],
    least: Sequence[int],
    width: int,
) -> list[int]:
    """The width of each column: its least, and what is left for those that want more."""
    widths = {place: least[place] for place in places}
    wrapping = [place for place in places if columns[place].wraps]
    while _sum(list(widths.values())) > width and any(widths[p] > NARROWEST for p in wrapping):
        widths[max(wrapping, key=lambda place: widths[place])] -= 1
    for _ in range(width - _sum(list(widths.values()))):
        wanting = [place for place in places if widths[place] < wanted[place]]
        if not wanting:
            break
        # Whole heads first, then free text, the narrowest column first.
        widths[min(wanting, key=lambda place: (columns[place].wraps, widths[place]))] += 1
    return list(widths.values())


def _sum(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _widest(column: Column, cells: Sequence[str]) -> int:
    return max(map(width_of, [column.head, *cells]), default=0)


def _least(column: Column, cells: Sequence[str]) -> int:
    """The least width of a column: of its longest cell, or of its longest word up to `LEAST`."""
    words = column.head.split()
    if max(map(width_of, words)) > LEAST:
        # The name of a metric: `val_sparse_categorical_accuracy`.
        words = [part.rstrip() for part in _BREAKS.split(column.head)]
    head = max(map(width_of, words))
    if not column.wraps:
        return max(head, *map(width_of, cells))
    return min(LEAST, max(head, *map(width_of, cells)))


def _pieces(text: str, width: int) -> Iterator[str]:
    """Parts of a text between which it may be broken; none is wider than `width`."""
    for word in _BREAKS.split(text):
        if width_of(word.rstrip()) <= width:
            yield word
            continue
        piece = ""
        for cluster in _clusters(word):
            if piece and width_of(piece + cluster) > width:
                yield piece
                piece = ""
            piece += cluster
        yield piece


def _clusters(text: str) -> Iterator[str]:
    """The signs of a text, each with the accents on it, or with the emoji joined to it."""
    cluster = ""
    for letter in text:
        joined = cluster.endswith(_JOINER) or _belongs(letter, cluster)
        if cluster and not joined:
            yield cluster
            cluster = ""
        cluster += letter
    if cluster:
        yield cluster


def _belongs(letter: str, cluster: str) -> bool:
    """Whether a letter takes no room of its own after this cluster."""
    if letter.isascii():
        return False
    if _SKIN.match(letter):
        return cluster != "" and _width(cluster) == 2
    return letter == _JOINER or unicodedata.category(letter) in {"Mn", "Me", "Cf"}


def _width(cluster: str) -> int:
    first = cluster[0]
    if unicodedata.category(first) in {"Mn", "Me", "Cf"}:
        return 0
    wide = _COLOURED in cluster or unicodedata.east_asian_width(first) in {"W", "F"}
    return 2 if wide else 1
