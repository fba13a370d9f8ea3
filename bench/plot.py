"""The picture of a report: a small SVG, written by hand, an element or a row of figures a line.

Text stays text, in the reader's own sans-serif, so that the picture is sharp at any size. It has a
white ground, so that it can be read on dark pages too.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from bench.report import Report, Row, groups, number

# All lengths are in pixels at the picture's own size.
WIDTH = 720
MARGIN = 12
TEXT = 12
# No sans-serif is wider on average, at this size.
LETTER = 0.6 * TEXT
HEAD = 40
TITLE = 24
BAR = 16
ROW = 22
# Shades that are told apart in print too.
OURS, THEIRS = "#34495e", "#9aa5a6"
COLOURS = (OURS, "#d35400", "#2980b9", "#27ae60", "#8e44ad", "#7f8c8d", "#c0392b")
# Times share a scale, whatever their unit.
SECONDS = {"s": 1.0, "ms": 1e-3}


def svg(report: Report) -> str:
    """Bars of each group; curves over the size where the rows have one."""
    curves = any(each.size for each in report.rows)
    height, lines = _curves(report.rows) if curves else _bars(report.rows)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_at(height)}" '
        f'width="{WIDTH}" height="{_at(height)}" font-family="sans-serif" font-size="{TEXT}" '
        'fill="#222" role="img">'
    )
    title = escape(report.title)
    ground = f'<title>{title}</title><rect width="100%" height="100%" fill="#fff"/>'
    shown = f'<text x="{MARGIN}" y="26" font-size="17">{title}</text>'
    return "\n".join([head, ground, shown, *lines, "</svg>"]) + "\n"


def _bars(rows: Sequence[Row]) -> tuple[float, list[str]]:
    """A bar each, from 0, with a line from the least to the greatest of its runs."""
    left = MARGIN + LETTER * max(len(_name(each)) for each in rows) + 8
    right = WIDTH - MARGIN - LETTER * max(len(_figure(each)) for each in rows) - 8
    top, lines = float(HEAD), []
    for (group, _), panel in _panels(rows).items():
        units = " and ".join(dict.fromkeys(each.unit for each in panel))
        title = escape(f"{group}: {units}")
        lines.append(f'<text x="{_at(left)}" y="{_at(top + 16)}" font-weight="bold">{title}</text>')
        top += TITLE
        most = max([_scaled(each, each.high) for each in panel] + [_least_end(panel[0])])
        scale = (right - left) / most
        for each in panel:
            lines.append(_bar(each, left, top, scale))
            top += ROW
    return top + MARGIN, lines


def _panels(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows that are compared on one scale: of one group, and of one kind of unit."""
    panels: dict[tuple[str, str], list[Row]] = {}
    for group, members in groups(rows).items():
        for each in members:
            panels.setdefault((group, _kind(each)), []).append(each)
    return panels


def _bar(row: Row, left: float, top: float, scale: float) -> str:
    middle = _at(top + BAR / 2)
    baseline = f'y="{_at(top + BAR / 2 + 4)}"'
    low, value, high = (scale * _scaled(row, each) for each in (row.low, row.value, row.high))
    fill = OURS if row.name.startswith("Fornada") else THEIRS
    parts = [
        f'<text x="{_at(left - 8)}" {baseline} text-anchor="end">{escape(_name(row))}</text>',
        f'<rect x="{_at(left)}" y="{_at(top)}" width="{_at(value)}" height="{BAR}" fill="{fill}"/>',
    ]
    if row.low < row.high:
        span = f"M{_at(left + low)} {middle}H{_at(left + high)}"
        # White around black, so that it is seen on either shade.
        parts.append(f'<path d="{span}" stroke="#fff" stroke-width="4"/>')
        parts.append(f'<path d="{span}" stroke="#000" stroke-width="1.6"/>')
    parts.append(f'<text x="{_at(left + max(value, high) + 8)}" {baseline}>{_figure(row)}</text>')
    return "".join(parts)


def _name(row: Row) -> str:
    return row.name if row.of == "median" else f"{row.name}, {row.of}"


def _figure(row: Row) -> str:
    return f"{number(row.value)} {row.unit}"


def _kind(row: Row) -> str:
    return "s" if row.unit in SECONDS else row.unit


def _scaled(row: Row, value: float) -> float:
    return value * SECONDS.get(row.unit, 1.0)


def _least_end(row: Row) -> float:
    """Where a scale ends at least: a share is one of 100 %."""
    return 100.0 if row.unit == "%" else 0.0


def _curves(rows: Sequence[Row]) -> tuple[float, list[str]]:
    """The worst of each database by size."""
    worst = _worst(rows)
    sizes = sorted({size for curve in worst.values() for size in curve})
    left, right, top, bottom = 60.0, WIDTH - 40.0, HEAD + 34.0, 340.0
    ticks = _ticks(max(value for curve in worst.values() for value in curve.values()))

    def across(size: int) -> float:
        spread = math.log(sizes[-1] / sizes[0]) or 1.0
        return left + 20 + (right - left - 40) * math.log(size / sizes[0]) / spread

    def up(value: float) -> float:
        return bottom - (bottom - top) * value / ticks[-1]

    lines = [_legend(worst, left)]
    for tick in ticks:
        lines.append(
            f'<path d="M{_at(left)} {_at(up(tick))}H{_at(right)}" stroke="#ddd"/>'
            f'<text x="{_at(left - 8)}" y="{_at(up(tick) + 4)}" text-anchor="end">{tick:g}</text>'
        )
    for size in sizes:
        place = f'x="{_at(across(size))}" y="{_at(bottom + 20)}"'
        lines.append(f'<text {place} text-anchor="middle">{size:,}</text>')
    for colour, curve in zip(COLOURS * len(worst), worst.values(), strict=False):
        points = [(_at(across(size)), _at(up(value))) for size, value in sorted(curve.items())]
        way = "L".join(" ".join(point) for point in points)
        dots = "".join(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in points)
        lines.append(f'<path d="M{way}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}')
    middle = f'x="{_at((left + right) / 2)}" y="{_at(bottom + 40)}"'
    lines.append(f'<text {middle} text-anchor="middle">jobs of history</text>')
    lines.append(f'<text x="{MARGIN}" y="{_at(top - 16)}">ms, worst query</text>')
    return bottom + 40 + MARGIN, lines


def _worst(rows: Iterable[Row]) -> dict[str, dict[int, float]]:
    worst: dict[str, dict[int, float]] = {}
    for each in rows:
        if each.size is not None:
            curve = worst.setdefault(each.group.partition(":")[0], {})
            curve[each.size] = max(curve.get(each.size, 0.0), each.value)
    return worst


def _legend(curves: Mapping[str, object], left: float) -> str:
    parts, x = [], left + 120
    for colour, name in zip(COLOURS * len(curves), curves, strict=False):
        parts.append(f'<circle cx="{_at(x)}" cy="54" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{_at(x + 10)}" y="58">{escape(name)}</text>')
        x += 34 + LETTER * len(name)
    return "".join(parts)


def _ticks(most: float) -> list[float]:
    """From 0 to the first round number that nothing is above, in at most six steps.

    >>> _ticks(40.5), _ticks(1.0)
    ([0.0, 10.0, 20.0, 30.0, 40.0, 50.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    """
    decade = 10.0 ** math.floor(math.log10(most))
    steps = (decade * part for part in (0.1, 0.2, 0.5, 1.0, 2.0))
    step = next(step for step in steps if most / step <= 6)
    return [round(step * count, 9) for count in range(math.ceil(most / step) + 1)]


def _at(length: float) -> str:
    """A length to a tenth of a pixel.

    >>> _at(12.0), _at(12.34)
    ('12', '12.3')
    """
    return f"{length:.1f}".removesuffix(".0")
