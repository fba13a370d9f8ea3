"""Thirty short jobs: ten learning rates by three seeds, three epochs each on Data/, on one slot.

    python -P -m bench.sweep [--rates 10] [--seeds 3]

Fornada's stack is up and idle, as a service is. Its time is from `fornada submit` to the end of
`fornada wait`, with one `submit` for all specs, and with a shell loop that submits them one by one.
A shell loop runs the plain script once a job; KerasTuner's RandomSearch tries as many learning
rates and seeds in one process.
"""

import sys
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

from bench import pictures, report, results, running
from bench.nets import Training
from bench.report import Report

EPOCHS = 3
# At least, times as many jobs a minute as the loop.
PROMISED = 8.0
ONE_COMMAND = "Fornada, one submit for all"
MANY_COMMANDS = "Fornada, one submit for each job"


def main() -> int:
    """Measure, print, and write."""
    parser = report.parser(__doc__)
    parser.add_argument("--rates", type=int, default=10, help="learning rates")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    trainings = [
        Training("dense", pictures.DATA, epochs=EPOCHS, rate=rate / 1000, seed=seed)
        for rate, seed in product(range(1, asked.rates + 1), range(1, asked.seeds + 1))
    ]
    runs = {"shell loop over the plain script": partial(loop, trainings)}
    notes = []
    if running.missing("keras_tuner"):
        notes.append("KerasTuner is not installed: its row is missing")
    else:
        runs["KerasTuner's RandomSearch"] = partial(search, trainings)
    with running.Home() as home, home.up():
        files = [home.spec(training) for training in trainings]
        runs[ONE_COMMAND] = partial(submit, home, [files])
        runs[MANY_COMMANDS] = partial(submit, home, [[file] for file in files])
        measured = report.interleaved(runs, asked.rounds)
    group = f"{len(trainings)} jobs of {EPOCHS} epochs"
    rates = {
        name: [len(trainings) / taken * 60 for taken in seconds]
        for name, seconds in measured.items()
    }
    bound = PROMISED * median(next(iter(rates.values())))
    rows = [
        report.row(
            group,
            name,
            "jobs/min",
            values,
            more_is_better=True,
            bound=bound if name in (ONE_COMMAND, MANY_COMMANDS) else None,
        )
        for name, values in rates.items()
    ]
    results.publish(
        Report(
            name="sweep",
            title="Many short jobs, jobs a minute",
            about="The dense net on Data/, with learning rates and seeds of its own in each job, "
            "one slot. Fornada's stack is up and idle before the first, as a service is; the first "
            "round finds neither a pack nor a compiled program.",
            rows=report.compared(rows),
            sizes={"jobs": len(trainings), "epochs": EPOCHS, "rounds": asked.rounds},
            notes=notes,
        ),
        asked.out,
    )
    return 0


def loop(trainings: list[Training]) -> float:
    """Seconds of the plain script for all, one after the other."""
    return sum(running.seconds(running.script("plain_keras", each)) for each in trainings)


def search(trainings: list[Training]) -> float:
    """Seconds of a process in which KerasTuner tries as many."""
    script = Path(__file__).with_name("plain_tuner.py")
    one = trainings[0]
    words = [f"--data={one.data}", f"--epochs={one.epochs}", f"--trials={len(trainings)}"]
    return running.seconds([sys.executable, script, *words])


def submit(home: running.Home, commands: list[list[Path]]) -> float:
    """Seconds from the first command to the end of the last job. Each command has some specs."""
    jobs: list[str] = []

    def whole() -> None:
        for files in commands:
            jobs.extend(home("submit", "--quiet", *files).split())
        home("wait", "--quiet", *jobs)

    return running.timed(whole)


if __name__ == "__main__":
    sys.exit(main())
