"""The report on a job, as a person reads it."""

import re
from pathlib import Path
from typing import Any, cast

import click
import pytest

from fornada.cli.output import Output
from fornada.cli.result import report
from fornada.cli.tables import width_of
from fornada.db.answers import JobAnswer


def job(**best: Any) -> JobAnswer:
    """A job's document, as far as its report needs it."""
    document = {"id": 1, "name": "small", "state": "succeeded", "monitor": "loss", "epochs_run": 1}
    times = {"started_at": None, "duration_s": 1.0, "attempts": 1}
    spec = {"spec": {"fit": {"epochs": 1}}}
    ended = {"stop_reason": None, "failure": None, "test": None}
    found = {"epoch": 1, "value": 0.5, "bytes": 7} | best
    return cast(JobAnswer, document | times | spec | ended | {"best": found})


@pytest.mark.parametrize(
    ("exists", "there", "begin"),
    [
        (True, True, "Best model: "),
        (None, False, "Best model: "),
        (False, False, "Best model gone: "),
        (False, True, "Best model replaced: "),
    ],
)
def test_the_best_model_is_named_as_it_is(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    exists: bool | None,
    there: bool,
    begin: str,
) -> None:
    path = tmp_path / "best.keras"
    if there:
        path.write_bytes(b"a model")
    report(job(path=str(path), exists=exists), Output(color="never"))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{begin}{path}")
    assert (last == f"{begin}{path}") == (exists is True or begin == "Best model gone: ")


NAMES = {
    "short": ["cat", "dog", "猫と犬"],
    "long": [f"a class with a long name, number {number}" for number in range(3)],
    "many": [f"a class with a long name, number {number}" for number in range(19)],
}


@pytest.mark.parametrize(
    ("classes", "colour", "heads"),
    [
        ("short", "always", NAMES["short"]),
        ("long", "always", ["0", "1", "2"]),
        ("long", "never", NAMES["long"]),
        ("many", "always", None),
    ],
)
def test_a_confusion_matrix_fits_the_terminal(
    classes: str,
    colour: str,
    heads: list[str] | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = NAMES[classes]
    figures = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    test = {
        "loss": 0.5,
        "metrics": {},
        "classes": names,
        "confusion_matrix": [[1] * len(names) for _ in names],
        "per_class": dict.fromkeys(names, figures),
    }
    report(cast(JobAnswer, {**job(path="", exists=True), "test": test}), Output(color=colour))
    lines = [click.unstyle(line) for line in capsys.readouterr().out.splitlines()]
    matrix = lines[next(i for i, line in enumerate(lines) if "Confusion" in line) + 1 :]
    if heads is None:
        assert "fornada show 1 --json" in matrix[0]
        return
    assert re.split(" {2,}", matrix[0].strip()) == heads
    # Each row ends where the head ends, however wide the letters are.
    assert len({width_of(line) for line in matrix[: len(names) + 1]}) == 1


def test_a_long_class_name_is_cut_on_a_narrow_terminal_and_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    head, rows = ["class", "support"], [["日本語" * 30, "1234567"]]
    Output(color="always").grid(head, rows)
    Output(color="never").grid(head, rows)
    lines = [click.unstyle(line) for line in capsys.readouterr().out.splitlines()]
    assert [width_of(line) for line in lines[:2]] == [40, 40]
    assert lines[1].endswith("…  1234567")
    assert lines[3].startswith("日本語" * 30)
