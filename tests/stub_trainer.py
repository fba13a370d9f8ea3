"""Speaks a trainer's messages without Keras, for tests of the queue and for its benchmarks.

What it does stands in the job's name: `crash` dies of SIGSEGV, `hang` never listens, `wait` trains
until it is stopped, `garble` writes what is no message, `swell` tells a number that no column
holds, `forge` reports a model that is not there, `loop` one whose path has no end; any other name
trains `fit.epochs` epochs in no time and succeeds.
"""

import hashlib
import os
import signal
import sys
import threading
from pathlib import Path

from db.states import StopReason
from worker.messages import (
    Best,
    DataSummary,
    Epoch,
    FileRecord,
    Finished,
    Started,
    Stop,
    Stopped,
    Train,
    decode_down,
    encode,
)
from worker.trainer.confine import confine

# Seconds between two epochs of a job that waits.
EPOCH_S = 0.2


class Stub:
    """One job, from `train` to the last word."""

    def __init__(self, up: int) -> None:
        self._up = up
        self._stopped = threading.Event()
        self._stop: Stop | None = None

    def run(self) -> None:
        """Do what the name says."""
        self._down = os.fdopen(os.dup(0), "rb", buffering=0)
        line = self._down.readline()
        if not line:
            return
        train = decode_down(line)
        assert isinstance(train, Train)
        threading.Thread(target=self._read, daemon=True).start()
        name = str(train.spec["name"])
        with (train.folder / "train.log").open("a") as log:
            print(f"stub: {name}", file=log)
        self._tell_started(2**64 if name == "swell" else 1)
        if name == "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            threading.Event().wait()
        if name == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if name == "garble":
            os.write(self._up, b"no message\n")
        best = _best(train.folder)
        epochs = int(train.spec["fit"]["epochs"]) if name != "wait" else 10**9
        for number in range(1, epochs + 1):
            self._tell_epoch(number, best if number == 1 else None)
            if name == "wait" and self._stopped.wait(EPOCH_S):
                break
        if self._stop is not None:
            self._say(Stopped(reason=self._stop.reason, best=best, files=[best.file]))
            return
        if name in ("forge", "loop"):
            best.file.path.unlink()
        if name == "loop":
            best.file.path.symlink_to(best.file.path)
        reason = StopReason.COMPLETED
        self._say(Finished(stop_reason=reason, best=best, test=None, files=[best.file]))

    def _read(self) -> None:
        while line := self._down.readline():
            message = decode_down(line)
            if isinstance(message, Stop):
                self._stop = message
                self._stopped.set()
        os._exit(3)

    def _tell_started(self, parameters: int) -> None:
        data = DataSummary(fingerprint="0" * 64, classes=["a"], train=1, validation=0, test=0)
        self._say(
            Started.model_construct(
                trainer_pid=os.getpid(),
                device="stub",
                backend="stub",
                versions={},
                seed=0,
                parameters=parameters,
                data=data,
            )
        )

    def _tell_epoch(self, number: int, best: Best | None) -> None:
        metrics = {"loss": 1.0 / number}
        self._say(
            Epoch(
                number=number,
                seconds=0.0,
                images_per_s=1.0,
                learning_rate=0.1,
                metrics=metrics,
                best=best,
            )
        )

    def _say(self, message: Started | Epoch | Finished | Stopped) -> None:
        os.write(self._up, encode(message))


def _best(folder: Path) -> Best:
    file = folder / "best.keras"
    file.write_bytes(b"model")
    sha256 = hashlib.sha256(b"model").hexdigest()
    record = FileRecord(kind="best_model", path=file, bytes=5, sha256=sha256)
    return Best(epoch=1, monitor="loss", value=1.0, file=record)


if __name__ == "__main__":
    confine()
    Stub(int(sys.argv[sys.argv.index("--up-fd") + 1])).run()
