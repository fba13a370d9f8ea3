"""How people's times and numbers are read and written, and how jobs' ends become exit codes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from fornada.cli import formatting
from fornada.cli.exit_codes import ExitCode, of_job
from fornada.cli.main import fornada
from fornada.cli.options import coming, moment, seconds
from fornada.client.submission import uuid7
from fornada.db.states import QUOTE
from fornada.spec.files import changes_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("7d", 604800), ("1h30m", 5400)],
)
def test_a_span_is_read_in_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "-1", "2 hours", "1h30"])
def test_no_span_is_told_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="for example 90s"):
        seconds(text)


def test_a_moment_is_a_date_or_how_long_ago() -> None:
    assert moment("2026-03-01T12:00:00+00:00") == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert moment("2026-03-01").utcoffset() is not None
    assert abs(moment("7d") - (datetime.now(UTC) - timedelta(days=7))) < timedelta(minutes=1)
    with pytest.raises(click.BadParameter, match="2026-03-01"):
        moment("someday")


def test_a_moment_to_come_is_a_time_of_day_a_date_or_how_far_off() -> None:
    now = datetime.now().astimezone()
    for ahead in (timedelta(minutes=2), timedelta(minutes=-2)):
        said = f"{now + ahead:%H:%M}"
        at = coming(said)
        assert f"{at:%H:%M}" == said
        assert now < at <= now + timedelta(days=1, hours=1)
        assert at.utcoffset() is not None
    assert coming("2031-03-01T22:00:00+00:00") == datetime(2031, 3, 1, 22, tzinfo=UTC)
    assert coming("2031-03-01T22:00").replace(tzinfo=None) == datetime(2031, 3, 1, 22)
    assert abs(coming("+2h") - now - timedelta(hours=2)) < timedelta(minutes=1)
    for wrong in ("soon", "25:00", "+soon", "22"):
        with pytest.raises(click.BadParameter, match="for example"):
            coming(wrong)


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, None), (9.44, "9.4 s"), (59.96, "1:00"), (187, "3:07"), (7387, "2:03:07")],
)
def test_durations_are_clocks(value: float | None, said: str | None) -> None:
    assert formatting.duration(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(None, None), (0.157451, "0.1575"), (1e-7, "1e-07"), ("NaN", "NaN")]
)
def test_numbers_have_four_digits(value: float | str | None, said: str | None) -> None:
    assert formatting.number(value) == said


@pytest.mark.parametrize(
    ("job", "code"),
    [
        ({"state": "succeeded"}, ExitCode.DONE),
        ({"state": "cancelled"}, ExitCode.CANCELLED),
        ({"state": "failed", "failure": {"code": "DIVERGED"}}, ExitCode.JOB_FAILED),
        ({"state": "failed", "failure": {"code": "TIME_LIMIT"}}, ExitCode.TIME_LIMIT),
        ({"state": "failed", "failure": {"code": "WORKER_LOST"}}, ExitCode.LOST),
    ],
)
def test_the_end_of_a_job_is_an_exit_code(job: dict[str, Any], code: ExitCode) -> None:
    assert of_job(job) is code


def test_flags_become_overrides_that_win_and_stay_text() -> None:
    changes = changes_of(
        ["name=file", "data.seed=2"], name="1", tags={"run": "true"}, queue="gpu", priority=5
    )
    assert changes == (
        "name=file",
        "data.seed=2",
        'name="1"',
        'resources.queue="gpu"',
        "resources.priority=5",
        'tags.run="true"',
    )


def test_uids_sort_by_time_and_never_meet() -> None:
    made = [uuid7() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert [uid[:13] for uid in made] == sorted(uid[:13] for uid in made)
    assert {uid[14] for uid in made} == {"7"}
    assert {uid[19] for uid in made} <= set("89ab")


def test_a_failure_is_one_line_in_a_list() -> None:
    assert formatting.brief("one\ntwo") == "one"
    assert formatting.brief("") == ""
    assert formatting.brief(f"SIGKILL{QUOTE}epoch 8/20  loss 0.2") == "SIGKILL"
    assert len(formatting.brief("a" * 500)) == formatting.BRIEF
    assert formatting.brief("a" * 500).endswith("a…")
    assert formatting.brief("a" * formatting.BRIEF) == "a" * formatting.BRIEF


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("delete", "cancel"),
        ("stop", "cancel"),
        ("jobs", "ls"),
        ("history", "ls"),
        ("status", "show"),
        ("resume", "retry"),
        ("sumbit", "submit"),
    ],
)
def test_a_command_of_another_name_is_understood(written: str, meant: str) -> None:
    context = click.Context(fornada)
    with pytest.raises(click.UsageError) as refused:
        fornada.resolve_command(context, [written])
    assert refused.value.message.endswith(f'Did you mean "{meant}"?')


@pytest.mark.parametrize(
    ("failure", "longest", "said"),
    [
        (None, 60, None),
        ({"code": "CRASHED", "message": None}, 60, "CRASHED"),
        ({"code": "DATA_MISSING", "message": f"no x\nmore{QUOTE}log"}, 60, "DATA_MISSING: no x"),
        (
            {"code": "DATA_INVALID", "message": "1 file:\n  a.png\n  b"},
            60,
            "DATA_INVALID: 1 file: a.png",
        ),
        ({"code": "CRASHED", "message": "a" * 99}, 12, "CRASHED: aa…"),
        ({"code": "CRASHED", "message": "a" * 99}, None, "CRASHED: " + "a" * 99),
    ],
)
def test_a_failure_is_said_in_few_words(failure: Any, longest: int | None, said: str) -> None:
    assert formatting.failed(failure, longest) == said
