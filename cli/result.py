"""What a job came to: the report that `run`, `wait` and `show` end with, on stdout."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fornada.cli.formatting import brief, duration, number, since
from fornada.cli.output import Output
from fornada.cli.progress import began_at, epochs_wanted

Job = Mapping[str, Any]
# Confusion matrices with more classes do not fit a screen; `--json` has them whole.
WIDEST_MATRIX = 20


def report(job: Job, output: Output) -> None:
    """Write how a job ended: epochs, best, test, failure, and where the best model is."""
    best = job.get("best") or {}
    test = job.get("test") or {}
    output.facts(
        {
            "state": job["state"],
            "epochs": _epochs(job),
            "time": duration(_seconds(job)),
            "best epoch": best.get("epoch"),
            f"best {job['monitor']}": number(best.get("value")),
            "test loss": number(test.get("loss")),
            **{f"test {name}": number(value) for name, value in test.get("metrics", {}).items()},
            "failure": _failure(job),
        },
        title=f"Job {job['id']}  {job['name']}",
    )
    if test:
        _per_class(test, output)
        _confusion(test, output)
    if best:
        output.line("")
        output.line(_best_model(best))


def _best_model(best: Mapping[str, Any]) -> str:
    path = best["path"]
    if best["exists"]:
        return f"Best model: {path}"
    if best["exists"] is None:
        return f"Best model: {path} (not seen: the folder of artifacts is not on this machine)"
    if Path(path).exists():
        return f"Best model replaced: {path} has not the {best['bytes']:,} bytes that were recorded"
    return f"Best model gone: {path}"


def attempts(job: Job, output: Output) -> None:
    """Write what became of each attempt, a line each: of a job that ran more than once, went on
    from a state, or is to be tried again."""
    executions = job["executions"]
    told = len(executions) > 1 or any(one.get("resumed") for one in executions)
    if not told and (job["failure"] or not any(one.get("failure") for one in executions)):
        return
    output.line("")
    output.heading("Attempts")
    for one in executions:
        for line in _attempt(one):
            output.line(line)


def _attempt(one: Mapping[str, Any]) -> Iterator[str]:
    resumed = one.get("resumed")
    outcome = one["outcome"] or "running"
    seconds = duration(since(one["claimed_at"], one["ended_at"]))
    began = began_at(resumed) if one["started_at"] else "ended before its first epoch"
    if not one["outcome"] and not one["started_at"]:
        began = "reads data and builds the model"
    yield f"{one['attempt']:>3}  {outcome}  on {one['host']}, {one['slot']}, {seconds}: {began}"
    if resumed and resumed.get("inexact"):
        yield f"     exactness lost: {resumed['inexact']}"
    failure = one.get("failure")
    if failure:
        yield f"     {failure['code']}: {brief(failure['message'] or '')}"


def _seconds(job: Job) -> float | None:
    running = job["state"] == "running"
    return since(job["started_at"]) if running else job["duration_s"]


def _epochs(job: Job) -> str:
    reason = job.get("stop_reason")
    ended = f", {reason}" if reason else ""
    return f"{job['epochs_run']} of {epochs_wanted(job)}{ended}"


def _failure(job: Job) -> str | None:
    failure = job.get("failure")
    if not failure:
        return None
    return f"{failure['code']}: {failure['message']}"


def _per_class(test: Mapping[str, Any], output: Output) -> None:
    per_class = test.get("per_class") or {}
    if not per_class:
        return
    output.line("")
    output.heading("Test set, a class")
    rows = [
        [
            name,
            f"{row['precision']:.3f}",
            f"{row['recall']:.3f}",
            f"{row['f1']:.3f}",
            f"{row['support']}",
        ]
        for name, row in per_class.items()
    ]
    output.grid(["class", "precision", "recall", "f1", "support"], rows)


def _confusion(test: Mapping[str, Any], output: Output) -> None:
    matrix, classes = test.get("confusion_matrix"), test.get("classes")
    if not matrix or not classes:
        return
    output.line("")
    output.heading("Confusion matrix: a row is what an image shows, a column what was predicted")
    if len(classes) > WIDEST_MATRIX:
        output.line(f"{len(classes)} classes; fornada show ID --json has it whole")
        return
    rows = [[name, *map(str, row)] for name, row in zip(classes, matrix, strict=True)]

    def paint(row: int, column: int) -> Mapping[str, Any]:
        if row == column:
            return {"fg": "green"}
        return {"fg": "red"} if matrix[row][column] else {"dim": True}

    output.grid(["", *classes], rows, paint)
