"""Speaks a trainer's messages without Keras, for tests of the queue and for its benchmarks.

What it does stands in the job's name, before a dash:

`crash` dies of SIGSEGV at its start; `crash-2` only in attempts 1 and 2.
`hang` never listens, to SIGTERM neither; `native` is stuck in native code that never returns.
`wait` trains until it is stopped; `wait-20` twenty epochs, a fifth of a second each.
`chatter-N` logs N bytes an epoch, of which few are text. `blunt` ends, asked to stop, by SIGTERM.
`environ` waits too, and leaves its variables in a file.
`eat-N` takes N MiB of memory before its first epoch.
`garble` writes what is no message, `swell` tells a number that no column holds, `forge` reports a
model that is not there, `loop` one whose path has no end.
Any other name trains `fit.epochs` epochs in no time and succeeds.

It keeps a state after each epoch, and goes on from the newest that it is given. Like a trainer it
serves one job after the other, where it may; and like trainers these are forked by a factory.
"""

import ctypes
import hashlib
import json
import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from fornada.db.states import StopReason
from fornada.worker.attempt_files import lasting
from fornada.worker.messages import (
    Best,
    DataSummary,
    EpochReport,
    FileRecord,
    Finished,
    RestoredEpoch,
    Started,
    Stopped,
    Train,
)
from fornada.worker.trainer.process.confine import confine
from fornada.worker.trainer.process.forking import Pipes, trainers
from fornada.worker.trainer.process.pipes import Assignment, Inbox, Outbox, StopAsked

# Seconds between two epochs of a job that waits.
EPOCH_S = 0.2
MODEL = b"model"
STATE = "state.json"
ENVIRON = "environ.json"


class Stub:
    """One job, from `train` to the last word."""

    def __init__(self, up: int, outbox: Outbox, order: Assignment) -> None:
        self._up = up
        self._say = outbox.tell
        self._order = order

    def verdict(self) -> Finished | Stopped:
        """Do what the name says."""
        with (self._order.job.folder / "train.log").open("ab", buffering=0) as self._log:
            return self._run_job(self._order.job)

    def _run_job(self, train: Train) -> Finished | Stopped:
        name, _, argument = str(train.spec["name"]).partition("-")
        self._log.write(f"stub: {train.spec['name']}\n".encode())
        best = _best(train.folder)
        trained = _restored(train)
        self._tell_started(train, trained, best, 2**64 if name == "swell" else 1)
        _misbehave(name, argument, train.attempt)
        if name == "environ":
            (train.folder / ENVIRON).write_text(json.dumps(dict(os.environ)))
        if name == "garble":
            os.write(self._up, b"no message\n")
        for number in range(len(trained) + 1, _epochs(name, argument, train) + 1):
            self._train(number, train, trained, best)
            if name == "chatter":
                self._log.write(chatter(number, int(argument)))
            pause_s = EPOCH_S if name in ("wait", "chatter", "blunt", "environ") else 0.0
            if (stop := self._stop_within(pause_s)) is not None:
                if name == "blunt":
                    signal.pause()
                return Stopped(reason=stop.reason, best=best, files=[best.file])
        if name in ("forge", "loop"):
            best.file.path.unlink()
        if name == "loop":
            best.file.path.symlink_to(best.file.path)
        return Finished(stop_reason=StopReason.COMPLETED, best=best, test=None, files=[best.file])

    def _stop_within(self, pause_s: float) -> StopAsked | None:
        try:
            self._order.stop_request.wait(pause_s)
        except StopAsked as stop:
            return stop
        return None

    def _tell_started(
        self, train: Train, trained: list[dict[str, Any]], best: Best, parameters: int
    ) -> None:
        data = DataSummary(fingerprint="0" * 64, classes=["a"], train=1, validation=0, test=0)
        restored = [
            RestoredEpoch(
                **_epoch(each["number"]),
                attempt=each["attempt"],
                best=best if each["number"] == 1 else None,
            )
            for each in trained
        ]
        self._say(
            Started.model_construct(
                trainer_pid=os.getpid(),
                device="stub",
                backend="stub",
                versions={},
                seed=0,
                parameters=parameters,
                data=data,
                first_epoch=len(trained) + 1,
                restored=restored,
                best=_lasting(best) if trained else None,
            )
        )

    def _train(self, number: int, train: Train, trained: list[dict[str, Any]], best: Best) -> None:
        trained.append({"number": number, "attempt": train.attempt})
        _keep(train.folder / STATE, trained)
        self._log.write(f"epoch {number}\n".encode())
        self._say(EpochReport(**_epoch(number), best=_lasting(best) if number == 1 else None))


def chatter(epoch: int, count: int) -> bytes:
    """What a job that chatters logs in an epoch: any bytes, the same for the same epoch."""
    return random.Random(epoch).randbytes(count)


def _misbehave(name: str, argument: str, attempt: int) -> None:
    if name == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Event().wait()
    if name == "eat":
        # Not bytearray, which takes pages that nobody has written to.
        _ = b"x" * (int(argument) * 2**20)
    if name == "native":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        # PyDLL keeps the interpreter's lock: not even the thread that reads runs.
        ctypes.PyDLL(None).pause()
    if name == "crash" and (not argument or attempt <= int(argument)):
        os.kill(os.getpid(), signal.SIGSEGV)


def _epochs(name: str, argument: str, train: Train) -> int:
    if name in ("wait", "blunt", "environ"):
        return int(argument or 10**9)
    return int(train.spec["fit"]["epochs"])


def _epoch(number: int) -> dict[str, Any]:
    return {
        "number": number,
        "seconds": 0.0,
        "images_per_s": 1.0,
        "learning_rate": 0.1,
        "metrics": {"loss": 1.0 / number},
    }


def _keep(file: Path, trained: list[dict[str, Any]]) -> None:
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(trained))
    beside.replace(file)


def _restored(train: Train) -> list[dict[str, Any]]:
    """The epochs of the newest state; number and attempt each."""
    for folder in train.resume_from:
        if (folder / STATE).exists():
            found: list[dict[str, Any]] = json.loads((folder / STATE).read_text())
            return found
    return []


def _best(folder: Path) -> Best:
    file = folder / "best.keras"
    file.write_bytes(MODEL)
    lasting(folder, 1).hardlink_to(file)
    sha256 = hashlib.sha256(MODEL).hexdigest()
    record = FileRecord(kind="best_model", path=file, bytes=len(MODEL), sha256=sha256)
    return Best(epoch=1, monitor="loss", value=1.0, file=record)


def _lasting(best: Best) -> Best:
    """The best model under the name that it has until the job ends."""
    path = lasting(best.file.path.parent, best.epoch)
    return best.model_copy(update={"file": best.file.model_copy(update={"path": path})})


def serve(pipes: Pipes) -> None:
    """Take one job after the other."""
    inbox, outbox = Inbox(pipes.down), Outbox(pipes.up)
    again = True
    while again:
        order = inbox.assignment()
        verdict = Stub(pipes.up, outbox, order).verdict()
        again = order.job.again
        if not again:
            inbox.expect_close()
        outbox.tell(verdict.model_copy(update={"again": again}))
    os._exit(0)


if __name__ == "__main__":
    confine()
    serve(trainers(int(sys.argv[sys.argv.index("--factory-fd") + 1])))
