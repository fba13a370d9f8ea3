"""The report about a job's result that `run`, `wait` and `show` print on stdout."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fornada.cli.formatting import brief, duration, number, since
from fornada.cli.output import Output
from fornada.cli.progress import LOST, began_at, epochs_wanted

if TYPE_CHECKING:
    from fornada.db.answers import BestAnswer, ExecutionAnswer, JobAnswer, TestAnswer

# Most classes of a confusion matrix that fits on a screen; `--json` has larger ones.
WIDEST_MATRIX = 20


def report(job: "JobAnswer", output: Output) -> None:
    """Write the result of a job: epochs, best value, test results, failure, and the best model."""
    best, test = job["best"], job["test"]
    tested = test["metrics"] if test else {}
    output.facts(
        {
            "state": LOST if job.get("lost") else job["state"],
            "epochs": _epochs(job),
            "time": _time(job),
            "best epoch": best and best["epoch"],
            f"best {job['monitor']}": number(best and best["value"]),
            "test loss": number(test and test["loss"]),
            **{f"test {name}": number(value) for name, value in tested.items()},
            "failure": _failure(job),
        },
        title=f"Job {job['id']}  {job['name']}",
    )
    if test:
        _per_class(test, output)
        _confusion(job["id"], test, output)
    if best:
        output.line("")
        output.line(_best_model(best))


def _best_model(best: "BestAnswer") -> str:
    path = best["path"]
    if best["exists"]:
        return f"Best model: {path}"
    if best["exists"] is None:
        why = "the folder of artifacts is not on this machine, or closed to this account"
        return f"Best model: {path} (not visible: {why})"
    if Path(path).exists():
        return (
            f"Best model replaced: {path} no longer has its recorded size, {best['bytes']:,} bytes"
        )
    return f"Best model gone: {path}"


def attempts(job: "JobAnswer", output: Output) -> None:
    """Write one line about each attempt, if these lines say more than the report.

    They say more if the job has several attempts, resumed from a training state, or has a failed
    attempt that will be retried.
    """
    executions = job["executions"]
    several = len(executions) > 1
    resumed = any(execution["resumed"] for execution in executions)
    to_retry = not job["failure"] and any(execution["failure"] for execution in executions)
    if not (several or resumed or to_retry):
        return
    output.line("")
    output.heading("Attempts")
    for execution in executions:
        for line in _attempt(execution, lost=bool(job.get("lost"))):
            output.line(line)


def _attempt(execution: "ExecutionAnswer", *, lost: bool) -> Iterator[str]:
    resumed = execution["resumed"]
    outcome = execution["outcome"] or ("lost" if lost else "running")
    seconds = duration(since(execution["claimed_at"], execution["ended_at"]))
    # Nobody has seen when the worker of a lost attempt was killed.
    ran = f", {seconds}" if execution["outcome"] or not lost else ""
    began = began_at(resumed) if execution["started_at"] else "ended before its first epoch"
    if not execution["outcome"] and not execution["started_at"]:
        began = "reads data and builds the model"
    place = f"{execution['host']}, {execution['slot']}"
    yield f"{execution['attempt']:>3}  {outcome}  on {place}{ran}: {began}"
    if resumed and resumed["inexact"]:
        yield f"     no longer exact: {resumed['inexact']}"
    if execution["anew"]:
        yield f"     no training state fits: {execution['anew']}"
    failure = execution["failure"]
    if failure:
        yield f"     {failure['code']}: {brief(failure['message'] or '')}"


def _time(job: "JobAnswer") -> str | None:
    """How long all its attempts have run: `3:07 in 2 attempts`."""
    seconds = ran_s(job)
    several = f" in {job['attempts']} attempts" if job["attempts"] > 1 else ""
    return None if seconds is None else f"{duration(seconds)}{several}"


def ran_s(job: "JobAnswer") -> float | None:
    """Seconds that all attempts of a job have run so far; None before the first one.

    None for a lost job too: nobody has seen when its worker was killed.
    """
    if job["duration_s"] is not None or job.get("lost"):
        return job["duration_s"]
    each = [since(attempt["claimed_at"], attempt["ended_at"]) for attempt in job["executions"]]
    return sum(seconds for seconds in each if seconds is not None) if each else None


def _epochs(job: "JobAnswer") -> str:
    reason = job["stop_reason"]
    ended = f", {reason}" if reason else ""
    return f"{job['epochs_run']} of {epochs_wanted(job) or '?'}{ended}"


def _failure(job: "JobAnswer") -> str | None:
    failure = job["failure"]
    if not failure:
        return None
    return f"{failure['code']}: {failure['message']}"


def _per_class(test: "TestAnswer", output: Output) -> None:
    output.line("")
    output.heading("Test set, per class")
    rows = [
        [
            name,
            f"{row['precision']:.3f}",
            f"{row['recall']:.3f}",
            f"{row['f1']:.3f}",
            f"{row['support']}",
        ]
        for name, row in test["per_class"].items()
    ]
    output.grid(["class", "precision", "recall", "f1", "support"], rows)


def _confusion(job_id: int, test: "TestAnswer", output: Output) -> None:
    matrix, classes = test["confusion_matrix"], test["classes"]
    output.line("")
    output.heading("Confusion matrix: a row is what an image shows, a column what was predicted")
    rows = [[name, *map(str, row)] for name, row in zip(classes, matrix, strict=True)]
    head = ["", *classes]
    if not output.has_room(head, rows):
        # Numbers of classes as heads are narrower than long names.
        head = ["", *map(str, range(len(classes)))]
        rows = [[f"{place} {row[0]}", *row[1:]] for place, row in enumerate(rows)]
    if len(classes) > WIDEST_MATRIX or not output.has_room(head, rows):
        output.line(
            f"too large to show ({len(classes)} classes); "
            f"see fornada show {job_id} --json | jq -c .test.confusion_matrix[]"
        )
        return

    def paint(row: int, column: int) -> Mapping[str, Any]:
        if row == column:
            return {"fg": "green"}
        return {"fg": "red"} if matrix[row][column] else {"dim": True}

    output.grid(head, rows, paint)
