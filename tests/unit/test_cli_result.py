"""Where the best model is, as a person reads it."""

from pathlib import Path
from typing import Any, cast

import pytest

from fornada.cli.output import Output
from fornada.cli.result import report
from fornada.db.answers import JobAnswer


def job(**best: Any) -> JobAnswer:
    """A job's document, as far as its report needs it."""
    document = {"id": 1, "name": "small", "state": "succeeded", "monitor": "loss", "epochs_run": 1}
    times = {"started_at": None, "duration_s": 1.0}
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
