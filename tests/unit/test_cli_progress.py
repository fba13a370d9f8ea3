"""What the lines and the bar of a running job say."""

import re
from io import StringIO
from typing import Any, cast

import pytest
from rich.console import Console

from fornada.cli.bars import Bars, packed
from fornada.cli.best_so_far import BestEpoch, BestSoFar
from fornada.cli.output import Output
from fornada.cli.progress import LOST, in_pairs, numbers, shown, standing
from fornada.cli.tables import width_of
from fornada.client import Progress
from fornada.db.answers import EpochAnswer, JobAnswer, Number
from fornada.db.reasons import Held, NoWorker, Reason, SlotsBusy

METRICS = {"accuracy": 0.5, "loss": 1.5, "val_accuracy": 0.25, "val_loss": 2.0}
STARTED = {"attempt": 1, "started_at": "2026-01-01T00:00:01+00:00", "resumed": None, "anew": None}


def job(**changed: Any) -> JobAnswer:
    """A running job whose best model is of epoch 8."""
    document = {
        "id": 1,
        "name": "small",
        "state": "running",
        "monitor": "val_accuracy",
        "monitor_mode": "max",
        "best": {"epoch": 8, "value": 0.654},
        "epochs_run": 9,
        "cancel_requested_at": None,
        "executions": [STARTED],
        "attempts": 1,
        "spec": {"fit": {"epochs": 20}},
    }
    return cast(JobAnswer, document | changed)


def epoch(number: int, **metrics: object) -> EpochAnswer:
    values = METRICS | metrics
    return cast(
        EpochAnswer,
        {"epoch": number, "attempt": 1, "seconds": 1.0, "images_per_s": 1e4, "metrics": values},
    )


def test_an_epoch_names_all_its_metrics_and_the_monitor() -> None:
    assert numbers(job(), epoch(9), BestEpoch(8, 0.654)) == [
        "10,000 images/s",
        "loss 1.5",
        "val_loss 2",
        "accuracy 0.5",
        "val_accuracy 0.25",
        "best val_accuracy 0.654 at 8",
    ]


@pytest.mark.parametrize(
    ("mode", "bests"), [("max", [1, 1, 3, 3, 3, 6]), ("min", [1, 2, 2, 2, 5, 5])]
)
def test_every_epoch_has_the_best_one_up_to_it(mode: str, bests: list[int]) -> None:
    values: list[Number] = [0.5, 0.4, 0.6, "NaN", 0.3, 0.7]
    epochs = [epoch(number, val_accuracy=value) for number, value in enumerate(values, 1)]
    seen = job(best={"epoch": bests[-1], "value": values[bests[-1] - 1]}, monitor_mode=mode)
    for size in (1, 2, 6):
        # However many epochs come together.
        so_far = BestSoFar()
        looks = [epochs[first : first + size] for first in range(0, 6, size)]
        found = [best for look in looks for _, best in so_far(seen, look)]
        assert found == [BestEpoch(number, values[number - 1]) for number in bests]


def test_an_epoch_that_is_trained_again_replaces_those_after_it() -> None:
    so_far, seen = BestSoFar(), job(best=None)
    first = [epoch(1, val_accuracy=0.5), epoch(2, val_accuracy=0.9)]
    assert [best for _, best in so_far(seen, first)] == [BestEpoch(1, 0.5), BestEpoch(2, 0.9)]
    assert [best for _, best in so_far(seen, [epoch(2, val_accuracy=0.1)])] == [BestEpoch(1, 0.5)]


def test_an_epoch_without_finite_weights_is_not_the_best() -> None:
    seen = job(best={"epoch": 1, "value": 0.5})
    epochs = [epoch(1, val_accuracy=0.5), epoch(2, val_accuracy=0.9)]
    assert [best for _, best in BestSoFar()(seen, epochs)] == [BestEpoch(1, 0.5)] * 2


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["accuracy", "loss"], ["loss", "accuracy"]),
        # A metric that a spec calls val_… and a callback's own value have no partner.
        (["val_x", "loss", "val_loss"], ["loss", "val_loss", "val_x"]),
    ],
)
def test_a_metric_stands_beside_its_validation(names: list[str], ordered: list[str]) -> None:
    assert in_pairs(names) == ordered


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"executions": []}, "reads data and builds the model"),
        ({"executions": [STARTED | {"started_at": None}]}, "reads data and builds the model"),
        ({"epochs_run": 0}, "trains epoch 1"),
        (
            {"epochs_run": 4, "executions": [STARTED | {"resumed": {"epoch": 5}}]},
            "trains epoch 5",
        ),
        ({"epochs_run": 20}, "evaluates the best model"),
        ({"cancel_requested_at": "2026-01-01T00:00:02+00:00"}, "asked to stop"),
    ],
)
def test_a_running_job_says_which_step_it_is_at(changed: dict[str, Any], said: str) -> None:
    assert standing(Progress(job(**changed), [], None, final=False)) == f"running, {said}"


@pytest.mark.parametrize(
    ("changed", "waits", "start", "said"),
    [
        ({}, None, None, "continues"),
        ({"lost": True}, None, None, "is lost and waits for a worker"),
        ({"state": "queued"}, SlotsBusy(), None, "stays queued"),
        ({"state": "held"}, Held("ana"), None, "stays held"),
        ({"state": "queued"}, NoWorker(), None, "waits for a worker"),
        (
            {"state": "queued"},
            NoWorker(),
            "fornada up",
            "waits for a worker; start one: fornada up",
        ),
    ],
)
def test_what_a_job_does_while_nobody_watches_it(
    changed: dict[str, Any], waits: Reason | None, start: str | None, said: str
) -> None:
    seen = Progress(job(**changed), [], waits, final=False, start_worker=start)
    assert seen.outlook == said
    if start:
        assert standing(seen).endswith(f"start one: {start}")


def test_between_epochs_there_is_no_more_to_say() -> None:
    assert standing(Progress(job(), [], None, final=False)) == "running"


def test_lines_in_a_pipe_are_one_for_each_step_and_epoch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with shown(Output()) as show:
        show(Progress(job(state="queued"), [], NoWorker(), final=False))
        show(Progress(job(state="queued"), [], None, final=False))
        show(Progress(job(epochs_run=0, best=None), [], None, final=False))
        show(Progress(job(epochs_run=9), [epoch(9)], None, final=False))
        show(Progress(job(epochs_run=9), [], None, final=False))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert [line.startswith("job 1: ") for line in lines] == [True, True, False]
    assert lines[2].startswith("epoch  9/20")


def test_the_first_line_names_a_job_that_already_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with shown(Output()) as show:
        show(Progress(job(), [epoch(9)], None, final=False))
    assert capsys.readouterr().err.splitlines()[0] == "job 1: running"


@pytest.mark.parametrize(
    ("changed", "state"),
    [({"epochs_run": 20}, "running, evaluates the best model"), ({"lost": True}, LOST)],
)
def test_the_epochs_come_before_the_state_after_them(
    capsys: pytest.CaptureFixture[str], changed: dict[str, Any], state: str
) -> None:
    with shown(Output()) as show:
        show(Progress(job(**changed), [epoch(8), epoch(9)], None, final=False))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("/")[0] for line in lines] == ["epoch  8", "epoch  9", f"job 1: {state}"]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_below_the_bar_no_part_is_broken(width: int) -> None:
    parts = numbers(job(), epoch(9), BestEpoch(8, 0.654))
    lines = packed(parts, width)
    assert "  ".join(lines) == "  ".join(parts)
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize("name", ["small", "日本語" * 20])
@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_bar_of_a_terminal_breaks_no_number_and_names_the_monitor(
    width: int, name: str
) -> None:
    screen = StringIO()
    seen = job(name=name, epochs_run=1234, spec={"fit": {"epochs": 12345}})
    with Bars(Console(file=screen, width=width, force_terminal=True, color_system=None)) as bars:
        bars(Progress(seen, [epoch(9)], None, final=False))
        # The numbers stay when it has ended.
        bars(Progress(cast(JobAnswer, seen | {"state": "succeeded"}), [], None, final=True))
    # Without the signs that move the cursor.
    lines = [line for line in re.split(r"[\r\n]+|\x1b\[[?\d]*\w", screen.getvalue()) if line]
    assert lines[-1].strip().endswith("best val_accuracy 0.654 at 8")
    assert all(width_of(line) <= width for line in lines)
    (bar,) = {line for line in lines if "1234/12345 epochs, eta" in re.sub(" +", " ", line)}
    assert bar.startswith("job 1 ")
