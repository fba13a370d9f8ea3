"""Tables on a terminal, and what the options of several commands refuse."""

from pathlib import Path
from typing import Any, cast

import click
import pytest
import yaml

from fornada.cli.clone import extend
from fornada.cli.history import now
from fornada.cli.jobs import submit
from fornada.cli.output import Output
from fornada.cli.queues import _line
from fornada.cli.steer import cancel
from fornada.cli.tables import Column
from fornada.cli.targets import chosen
from fornada.client import Client
from fornada.client.submission import Terms, user
from fornada.db.answers import LiveAnswer, QueueAnswer
from fornada.spec import SpecProblems, loads

PROJECT = Path(__file__).parents[2]
TERMINAL = Output(color="always")
WIDE = [Column("ID"), Column("REASON", wraps=True), Column("STARTS")]


@pytest.fixture
def eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("eighty")
def test_a_table_that_fits_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    narrow = ([Column("SHORT")], [["no"]])
    TERMINAL.table(WIDE, [["1", "a" * 60, "-"]], empty="", narrow=narrow)
    assert "REASON" in capsys.readouterr().out


@pytest.mark.usefixtures("eighty")
def test_a_table_that_does_not_fit_gives_way_to_its_narrow_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    narrow = ([Column("SHORT")], [["yes"]])
    TERMINAL.table(WIDE, [["1", "a" * 80, "~3 s"]], empty="", narrow=narrow)
    out = capsys.readouterr().out
    assert "SHORT" in out
    assert "aaa" not in out


def alive(**changed: Any) -> LiveAnswer:
    row = {"state": "queued", "best": None, "eta_s": None, "waits": None, "starts_in_s": None}
    epochs = {"epoch": 0, "epochs": 100, "monitor": "val_loss"}
    return cast(LiveAnswer, row | epochs | changed)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (alive(state="running"), "epoch 0/100"),
        (
            alive(state="running", epoch=7, best={"value": 0.10084}, eta_s=187.0),
            "epoch 7/100, best val_loss 0.1008, 3:07 left",
        ),
        (alive(waits="SlotsBusy", starts_in_s=187.0), "SlotsBusy, starts in ~3:07"),
        (alive(waits="Backoff(attempt 2 in 40 s)"), "Backoff(attempt 2 in 40 s)"),
        (alive(), "-"),
    ],
)
def test_one_cell_says_how_far_a_job_is_or_why_it_waits(row: LiveAnswer, said: str) -> None:
    assert now(row) == said


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "a\nb", "\x1b[2J"])
def test_a_key_that_is_no_line_is_refused(key: str) -> None:
    with pytest.raises(click.BadParameter, match="--key nightly-7"):
        submit.make_context("submit", ["a.yaml", "--key", key])
    with pytest.raises(ValueError, match="key: "):
        Terms(key=key)


@pytest.mark.parametrize("reason", ["", "r" * 1001, "a\nb", "\x1b[2J"])
def test_a_reason_that_is_no_line_is_refused(reason: str) -> None:
    with pytest.raises(click.BadParameter, match="one line"):
        cancel.make_context("cancel", ["1", "--reason", reason])
    with pytest.raises(ValueError, match="reason: "):
        Client().cancel(1, reason=reason)


def test_the_name_of_a_user_is_one_line_however_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGNAME", "ana\n\x1b[2J" + "a" * 100)
    assert user().startswith("ana\\n\\x1b[2J")
    assert user().isprintable()
    assert len(user()) < 80


def test_more_than_a_hundred_tags_are_refused() -> None:
    spec = yaml.safe_load((PROJECT / "specs" / "digits.yaml").read_text())
    spec["tags"] = {f"t{number}": "x" for number in range(100)}
    assert len(loads(yaml.safe_dump(spec)).tags) == 100
    spec["tags"]["one-more"] = "x"
    with pytest.raises(SpecProblems, match="at most 100 tags"):
        loads(yaml.safe_dump(spec))


def test_epochs_without_a_plus_are_refused() -> None:
    with pytest.raises(click.BadParameter, match="a plus"):
        extend.make_context("extend", ["1", "--epochs", "5"])


@pytest.mark.parametrize(
    ("references", "tags", "said"),
    [(["1"], [("a", "b")], "not both"), ([], [], "name jobs .*, or a tag")],
)
def test_jobs_are_named_or_tagged(
    references: list[str], tags: list[tuple[str, str]], said: str
) -> None:
    with pytest.raises(click.UsageError, match=said):
        chosen(cast("Any", None), references, tags, [])


@pytest.mark.parametrize(("workers", "told"), [(0, True), (1, False)])
def test_a_queue_that_nobody_serves_is_told(workers: int, told: bool) -> None:
    row: QueueAnswer = {
        "name": "nightt",
        "paused": True,
        "max_running": None,
        "queued": 0,
        "held": 0,
        "running": 0,
        "workers": workers,
        "changed_at": None,
        "changed_by": None,
    }
    assert ("no worker serves it" in _line("nightt", row)) is told
