"""What every benchmark does with its figures: medians, ratios, and how they are written.

A figure is the median of runs that took turns with those of its rivals in one session, with the
least and the greatest of them. It is stored beside the machine and the versions it is about.
"""

import argparse
import math
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from fornada.worker.slots.slots import discover

Value = TypeVar("Value")
FULL = os.environ.get("FULL", "") not in ("", "0")
# `make bench` names another.
OUT = Path("build/bench")
PACKAGES = ("fornada", "keras", "tensorflow", "jax", "torch", "keras-tuner", "numpy", "celery")
# A product of so many rows takes a tenth of a second and leaves the caches.
MATRIX_ROWS = 2048
# Shares of the matrix rate that are told to a tenth of a percent, smaller ones to a hundredth.
LARGE = 0.05


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        group: what is compared within: a net, a database.
        name: who it is about.
        unit: `images/s`, `s`, `ms`, `jobs/s`, `MB`, `%`.
        value: median of the runs, or what `of` says.
        low: least of the runs.
        high: greatest of the runs.
        runs: how many there were.
        ratio: how many times as fast as the first of its group; None where nothing is compared.
        bound: what was promised, in the unit: at most, or at least where `more_is_better`.
        more_is_better: rates, not times.
        of: what the value is, where it is no median.
        share: of the machine's matrix product rate.
        share_bound: what was promised of that, at least.
        size: jobs of the history it was measured on, for a curve.
    """

    group: str
    name: str
    unit: str
    value: float
    low: float
    high: float
    runs: int
    ratio: float | None = None
    bound: float | None = None
    more_is_better: bool = False
    of: str = "median"
    share: float | None = None
    share_bound: float | None = None
    size: int | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept; None without one."""
        if self.bound is None:
            return None
        return self.value >= self.bound if self.more_is_better else self.value <= self.bound

    @property
    def share_kept(self) -> bool | None:
        """Whether the share is what was promised; None without a promise."""
        if self.share is None or self.share_bound is None:
            return None
        return self.share >= self.share_bound


@dataclass(frozen=True)
class Report:
    """One table.

    Attributes:
        name: the module that makes it.
        title: a line.
        about: what was measured, and how, in a few sentences.
        rows: figures.
        sizes: what was asked for: images, epochs, jobs, rounds.
        notes: what a reader must know: what is missing, and why.
    """

    name: str
    title: str
    about: str
    rows: Sequence[Row]
    sizes: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def row(group: str, name: str, unit: str, values: Sequence[float], **more: Any) -> Row:
    """A figure from the values of its runs.

    >>> row("dense", "plain", "s", [3.0, 1.0, 2.0]).value
    2.0
    """
    return Row(group, name, unit, median(values), min(values), max(values), len(values), **more)


def at_quantile(
    share: float, group: str, name: str, unit: str, values: Sequence[float], **more: Any
) -> Row:
    """A figure that a share of the values does not pass.

    >>> at_quantile(0.95, "sqlite", "ls", "ms", range(1, 101)).value
    95
    """
    value, of = quantile(values, share), f"p{share * 100:g}"
    return Row(group, name, unit, value, min(values), max(values), len(values), of=of, **more)


def quantile(values: Sequence[float], share: float) -> float:
    """The least of the values that a share of them does not pass.

    >>> quantile([5.0, 1.0, 3.0], 0.5), quantile([5.0, 1.0, 3.0], 1.0)
    (3.0, 5.0)
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def compared(rows: Sequence[Row]) -> list[Row]:
    """With the ratio of each to the first of its group.

    >>> first, second = row("a", "plain", "s", [4.0]), row("a", "ours", "s", [2.0])
    >>> [each.ratio for each in compared([first, second])]
    [1.0, 2.0]
    """
    firsts: dict[str, Row] = {}
    for each in rows:
        firsts.setdefault(each.group, each)
    return [
        Row(**{**asdict(each), "ratio": _times_as_fast(each, firsts[each.group])}) for each in rows
    ]


def _times_as_fast(ours: Row, other: Row) -> float:
    return ours.value / other.value if ours.more_is_better else other.value / ours.value


def interleaved(runs: Mapping[str, Callable[[], Value]], rounds: int) -> dict[str, list[Value]]:
    """Let each run once a round, so that what slows the machine down slows all of them.

    >>> interleaved({"a": lambda: 1, "b": lambda: 2}, 2)
    {'a': [1, 1], 'b': [2, 2]}
    """
    found: dict[str, list[Value]] = {name: [] for name in runs}
    for turn in range(1, rounds + 1):
        for name, run in runs.items():
            say(f"round {turn} of {rounds}: {name}")
            found[name].append(run())
    return found


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def matrix_rate(seconds: float = 1.0) -> float:
    """Floating point operations a second of the best float32 matrix product, on all cores."""
    import numpy as np

    rng = np.random.default_rng(0)
    left, right = rng.random((2, MATRIX_ROWS, MATRIX_ROWS), np.float32)
    best, end = math.inf, time.monotonic() + seconds
    while time.monotonic() < end or best == math.inf:
        begin = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - begin)
    return 2 * MATRIX_ROWS**3 / best


def machine() -> dict[str, Any]:
    """What ran it: GPUs, processor, cores that this process may use, memory in bytes, system."""
    return {
        "gpus": [device.model for device in discover()],
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> dict[str, str]:
    """Of Python, SQLite and the packages that are here."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def parser(about: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    made = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--out", type=Path, default=OUT, help=f"folder of results; default: {OUT}")
    made.add_argument("--rounds", type=int, default=3, help="runs of each; default: 3")
    return made


HEADER = ("", "figure", "least - greatest", "runs", "times as fast", "promised", "of matrix rate")


def cells(row: Row) -> tuple[str, ...]:
    """A row as it is shown, column by column of `HEADER`.

    >>> cells(row("dense", "plain", "images/s", [12000.0, 13000.0, 14000.0], share=0.064))
    ('plain', '13,000 images/s', '12,000 - 14,000', '3', '', '', '6.4 %')
    """
    of = "" if row.of == "median" else f"{row.of} "
    sign = "≥" if row.more_is_better else "≤"
    bound = ""
    if row.bound is not None:
        bound = f"{sign} {number(row.bound)}{'' if row.kept else ': missed'}"
    return (
        row.name,
        f"{of}{number(row.value)} {row.unit}",
        f"{number(row.low)} - {number(row.high)}",
        str(row.runs),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        bound,
        _share(row),
    )


def _share(row: Row) -> str:
    if row.share is None:
        return ""
    promised = ""
    if row.share_bound is not None:
        promised = f", ≥ {row.share_bound:.0%}{'' if row.share_kept else ': missed'}"
    digits = 1 if row.share >= LARGE else 2
    return f"{row.share:.{digits}%}{promised}".replace("%", " %")


def number(value: float) -> str:
    """Three digits of it, or all before the point.

    >>> number(12345.6), number(12.345), number(0.01234), number(0)
    ('12,346', '12.3', '0.0123', '0')
    """
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by group, in order."""
    found: dict[str, list[Row]] = {}
    for each in rows:
        found.setdefault(each.group, []).append(each)
    return found


def used_columns(rows: Sequence[Row]) -> list[int]:
    """Columns of `HEADER` that say something."""
    shown = [cells(each) for each in rows]
    return [column for column in range(len(HEADER)) if any(each[column] for each in shown)]
