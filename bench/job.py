"""A whole job: from the command to the recorded best model, cold and warm.

    python -P -m bench.job [--data DIR] [--nets dense,conv] [--epochs 17]

Cold is `fornada run` in a new home: the stack starts, the images are packed, the stack stops. Warm
is `fornada submit --wait` to a stack that is up and has trained on these images. Then one epoch of
the dense net on Data/, as the first job of somebody who tries something.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import NamedTuple

from bench import pictures, report, results, running
from bench.nets import Training
from bench.report import Report, Row

PLAIN, WARM = "plain Keras script", "Fornada, warm"
# A first job of one epoch: at most so long, and at most this share of the plain script's time.
FIRST_S, FIRST_SHARE = 2.0, 0.5


def main() -> int:
    """Measure, print, and write."""
    parser = report.parser(__doc__)
    pictures.add_options(parser)
    # A conv net of 17 epochs takes the plain script six minutes.
    parser.add_argument("--nets", default="dense,conv" if report.FULL else "dense")
    parser.add_argument("--epochs", type=int, default=17)
    asked = parser.parse_args()
    data, about = pictures.folder(asked.data, asked.images)
    rows: list[Row] = []
    with running.Home() as home, home.up():
        for net in asked.nets.split(","):
            training = Training(net, data, epochs=asked.epochs)
            home("submit", "--quiet", "--wait", home.spec(training), "--set", "fit.epochs=1")
            group = f"{net}, {asked.epochs} epochs"
            runs = _both(home, training)
            runs["Fornada, cold"] = partial(cold, training)
            rows += _rows(group, report.interleaved(runs, asked.rounds))
        small = Training("dense", pictures.DATA)
        home("submit", "--quiet", "--wait", home.spec(small))
        runs = _both(home, small)
        measured = report.interleaved(runs, asked.rounds)
        first = _rows("dense, 1 epoch on Data/", measured)
        bound = min(FIRST_S, FIRST_SHARE * median(one.seconds for one in measured[PLAIN]))
        rows += [
            replace(row, bound=bound) if row.name == WARM and row.unit == "s" else row
            for row in first
        ]
    results.publish(
        Report(
            name="job",
            title="Whole jobs, seconds",
            about="From the command to its end, when the best model is recorded. Cold: a new home, "
            "the stack starts, the images are packed, the stack stops. Warm: a stack that is up "
            "and has trained this net on these images. The accuracy is the best model's, on the "
            "tenth that it was validated on.",
            rows=rows,
            sizes={"images": pictures.count(data / "Train"), "rounds": asked.rounds},
            notes=[about],
        ),
        asked.out,
    )
    return 0


class Whole(NamedTuple):
    """A whole job: how long it took, and how good its best model is."""

    seconds: float
    accuracy: float


def _both(home: running.Home, training: Training) -> dict[str, Callable[[], Whole]]:
    return {PLAIN: partial(plain, training), WARM: partial(warm, home, training)}


def plain(training: Training) -> Whole:
    """The plain script."""
    told = {}
    seconds = running.timed(lambda: told.update(running.told_by_script("plain_keras", training)))
    return Whole(seconds, told["accuracy"])


def warm(home: running.Home, training: Training) -> Whole:
    """`fornada submit --wait`, to a stack that is up."""
    spec = home.spec(training)
    seconds = running.timed(lambda: home("submit", "--quiet", "--wait", spec))
    return Whole(seconds, home.accuracy())


def cold(training: Training) -> Whole:
    """`fornada run` in a new home."""
    with running.Home() as home:
        spec = home.spec(training)
        seconds = running.timed(lambda: home("run", "--quiet", spec))
        return Whole(seconds, home.accuracy())


def _rows(group: str, measured: dict[str, list[Whole]]) -> list[Row]:
    times = [
        report.row(group, name, "s", [one.seconds for one in runs])
        for name, runs in measured.items()
    ]
    good = [
        report.row(f"{group}: accuracy", name, "%", [100 * one.accuracy for one in runs])
        for name, runs in measured.items()
    ]
    return [*report.compared(times), *good]


if __name__ == "__main__":
    sys.exit(main())
