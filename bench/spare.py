"""What the start of a slot's next trainer costs the job that runs there meanwhile.

    python -P -m bench.spare [--data DIR] [--epochs 30]

Mostly a trainer takes the next job too, and none is started. Here each serves one job, so that the
next is started after the running job's first epoch, and imports Keras beside it.
"""

import sys
from contextlib import ExitStack
from functools import partial

from bench import pictures, processes, report, running
from bench.nets import Training
from bench.report import Report
from fornada.worker.slots.priority import can_raise
from tests.until import until


def main() -> int:
    """Measure, print, and write."""
    parser = report.parser(__doc__)
    pictures.add_options(parser)
    parser.add_argument("--epochs", type=int, default=30)
    asked = parser.parse_args()
    data, about = pictures.folder(asked.data, asked.images)
    training = Training("dense", data, epochs=asked.epochs)
    with ExitStack() as stack:
        alone = stack.enter_context(running.Home())
        beside = stack.enter_context(running.Home(FORNADA_JOBS_PER_TRAINER="1"))
        runs = {}
        for name, home in (("no spare starts", alone), ("the next spare starts", beside)):
            stack.enter_context(home.up())
            # Packs the images, and compiles.
            home("submit", "--quiet", "--wait", home.spec(training), "--set", "fit.epochs=1")
            runs[name] = partial(epochs, home, training)
        measured = report.interleaved(runs, asked.rounds)
    threads = "its threads too" if can_raise() else "but not its threads"
    rows = [
        report.row(f"{asked.epochs - 1} epochs after the first", name, "s", values)
        for name, values in measured.items()
    ]
    report.publish(
        Report(
            name="spare",
            title="A job beside the next trainer's start, seconds",
            about="The epochs of one job of the dense net, one slot. A trainer serves many jobs, "
            "and then no other is started; here it serves one, so that the next imports Keras "
            "while this one trains.",
            rows=report.compared(rows),
            sizes={
                "images": pictures.count(data / "Train"),
                "epochs": asked.epochs,
                "rounds": asked.rounds,
            },
            notes=[about, f"the spare's session goes behind the job's, {threads}"],
        ),
        asked.out,
    )
    return 0


def epochs(home: running.Home, training: Training) -> float:
    """Seconds of a job's epochs but the first, to whose end no spare is started."""
    until(lambda: processes.at_rest(home.folder), running.PATIENCE_S)
    home("submit", "--quiet", "--wait", home.spec(training))
    return sum(home.epochs()[1:])


if __name__ == "__main__":
    sys.exit(main())
