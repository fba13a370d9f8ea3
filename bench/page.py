"""Writes `docs/performance.md` from what the benchmarks measured; no figure is typed by hand.

    python -P -m bench.page [FOLDER [FILE]]

FOLDER holds a `.json` for each table, whose `.svg` is drawn again from it:
`make bench OUT=docs/performance`.
"""

import sys
from pathlib import Path
from typing import Any

from bench import report
from bench.plot import svg
from bench.report import HEADER, Report, Row, cells, groups, number, used_columns
from bench.results import read

ORDER = (
    "epochs",
    "epochs-gpu",
    "job",
    "sweep",
    "queueing",
    "commands",
    "history",
    "packs",
    "state",
)
# What differs by less is no difference here: medians of a few runs vary by more.
ALIKE = 0.01
HEAD = """# Performance

Every table stands beside the machine it was measured on. A figure is the median of runs that took
turns with those of their rivals, with the least and the greatest of them; "times as fast" is a
ratio of medians, to the first row of its group. This page is written by a command from what
`make bench` measured; nobody types a figure.

    make bench                                    # all of it: hours
    make bench FULL=1                             # and 1,000,000 jobs of history, whole conv jobs
    make bench DATA=~/mnist                       # on MNIST's own images
    make bench OUT=docs/performance               # where this page takes its figures from
    make bench-epochs OPTIONS="--nets conv"       # one table, with options of its own

`DATA` is a folder with `Train/<class>/` and `Test/<class>/`: the complete MNIST is what
`fornada data import` makes of its IDX files, and `Data/choose.sh` says where those are. Without it
the images are drawn from those of `Data/`, at the same number and size. The rivals are
`bench/plain_keras.py`, a script as Keras's guides write it, and `bench/plain_torch.py`, a loop as
one writes it by hand. Nothing else should run meanwhile.
"""


def main(arguments: list[str]) -> int:
    """Write the page and its pictures."""
    folder = Path(arguments[0] if arguments else "docs/performance")
    file = Path(arguments[1] if len(arguments) > 1 else "docs/performance.md")
    for each, _ in reports(folder):
        (folder / f"{each.name}.svg").write_text(svg(each))
    file.write_text(page(folder, file))
    report.say(f"{file} is written")
    return 0


def reports(folder: Path) -> list[tuple[Report, dict[str, Any]]]:
    """What was measured, in the page's order."""
    files = [folder / f"{name}.json" for name in ORDER]
    return [read(file) for file in files if file.exists()]


def page(folder: Path, file: Path) -> str:
    """The page, as Markdown; its links are relative to `file`."""
    found = reports(folder)
    if not found:
        return f"{HEAD}\nNo figures have been written yet.\n"
    parts = [HEAD, _slower([each for each, _ in found])]
    for each, document in found:
        parts.append(_section(each, document))
        link = (folder / f"{each.name}.svg").resolve().relative_to(file.resolve().parent)
        parts.append(f"![{each.title}]({link})\n")
    return "\n".join(parts)


def _slower(reports: list[Report]) -> str:
    """What is not faster than its rivals, and what was promised and missed."""
    slower = [
        f"- {each.title}, {row.group}: {row.name} is {_behind(best)} {rival}."
        for each in reports
        for row, rival, best in _lost(each)
    ]
    missed = [
        f"- {each.title}, {row.group}, {row.name}: promised "
        f"{'at least' if row.more_is_better else 'at most'} {number(row.bound or 0.0)} {row.unit}, "
        f"measured {number(row.value)}."
        for each in reports
        for row in each.rows
        if row.kept is False
    ]
    missed += [
        f"- {each.title}, {row.group}, {row.name}: promised at least {row.share_bound or 0:.0%} of "
        f"the machine's matrix rate, measured {row.share or 0:.1%}.".replace("%", " %")
        for each in reports
        for row in each.rows
        if row.share_kept is False
    ]
    lines = slower or ["It is the fastest in every comparison below."]
    text = "## Where Fornada is not faster\n\n" + "\n".join(lines) + "\n"
    if missed:
        text += "\n## What was promised and missed\n\n" + "\n".join(missed) + "\n"
    return text


def _behind(share: float) -> str:
    """How a row does beside a rival of which it reaches this share.

    >>> _behind(0.998), _behind(0.5)
    ('only as fast as', '2.00 times slower than')
    """
    return "only as fast as" if share > 1 - ALIKE else f"{number(1 / share)} times slower than"


def _lost(report: Report) -> list[tuple[Row, str, float]]:
    """Rows of Fornada with the best rival of their group, where that is faster."""
    lost = []
    for rows in groups(report.rows).values():
        rivals = [row for row in rows if row.ratio and not row.name.startswith("Fornada")]
        best = max(rivals, key=lambda row: row.ratio or 0.0, default=None)
        if best is None or not best.ratio:
            continue
        for row in rows:
            if row.name.startswith("Fornada") and row.ratio and row.ratio < best.ratio:
                lost.append((row, best.name, row.ratio / best.ratio))
    return lost


def _section(report: Report, document: dict[str, Any]) -> str:
    machine, versions = document["machine"], document["versions"]
    lines = [f"## {report.title}", "", report.about, ""]
    columns = used_columns(report.rows)
    lines.append("| " + " | ".join(HEADER[column] for column in columns) + " |")
    lines.append("| " + " | ".join("---" if not column else "---:" for column in columns) + " |")
    for group, rows in groups(report.rows).items():
        lines.append(f"| **{group}** |" + " |" * (len(columns) - 1))
        for row in rows:
            shown = cells(row)
            lines.append("| " + " | ".join(shown[column] for column in columns) + " |")
    sizes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in report.sizes.items())
    notes = [f"- {note[0].upper()}{note[1:]}." for note in report.notes]
    lines += ["", *notes, *([""] if notes else [])]
    lines.append(
        f"{', '.join([*machine.get('gpus', []), machine['processor']])}, {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}; "
        + ", ".join(f"{name} {text}" for name, text in versions.items())
        + f"; {document['made_at'][:10]}; {sizes}; `make bench-{report.name.removesuffix('-gpu')}`."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
