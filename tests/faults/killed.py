"""One job, attempt after attempt, each in a trainer of its own that a test may kill."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fornada.worker.messages import EpochReport, Failed, Finished, Started, Stop, Stopped, WhyStop
from fornada.worker.trainer.state.finding import FOLDER, states
from tests.services.resuming import Outcome, attempt, outcome
from tests.services.trainer_jobs import TrainerProcess, job

# Importing Keras takes seconds on an idle core, and minutes where many share one.
PATIENCE_S = 600.0


class Attempt:
    """A trainer at work on one attempt; a thread reads what it says, so that a test can look."""

    def __init__(self, trainer: TrainerProcess, folder: Path) -> None:
        self.folder = folder
        self.messages: list[Any] = []
        self.over = threading.Event()
        self._trainer = trainer
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while (message := self._trainer.next()) is not None:
            self.messages.append(message)
        self.over.set()

    @property
    def epoch(self) -> int:
        """Epochs that it has reported or taken over."""
        done = 0
        for message in list(self.messages):
            if isinstance(message, EpochReport):
                done = message.number
            elif isinstance(message, Started):
                done = message.first_epoch - 1
        return done

    @property
    def started(self) -> Started:
        assert isinstance(self.messages[0], Started), self.messages
        return self.messages[0]

    @property
    def epochs(self) -> list[EpochReport]:
        return [message for message in self.messages if isinstance(message, EpochReport)]

    @property
    def verdict(self) -> Finished | Stopped | Failed | None:
        last = self.messages[-1] if self.messages else None
        return last if isinstance(last, Finished | Stopped | Failed) else None

    @property
    def log(self) -> str:
        return (self.folder / "train.log").read_text()

    def wait(self, condition: Callable[[], Any], *, every_s: float = 0.005) -> None:
        """Look until something is so."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert not self.over.is_set(), f"ended before: {self.messages[-1:]}"
            assert time.monotonic() < end, f"not within {PATIENCE_S} s: {self.messages[-1:]}"
            time.sleep(every_s)

    def catch(self, condition: Callable[[], Any]) -> None:
        """Stop it at a moment when something is so, and see that it still is.

        Some moments are short: this looks without a pause.
        """
        while True:
            self.wait(condition, every_s=0)
            self.signal(signal.SIGSTOP)
            self._stopped()
            if condition():
                return
            self.signal(signal.SIGCONT)

    def _stopped(self) -> None:
        file = Path(f"/proc/{self._trainer.pid}/stat")
        while file.read_text().rpartition(")")[2].split()[0] not in "TtZX":
            os.sched_yield()

    def send(self, message: Any) -> None:
        self._trainer.send(message)

    def signal(self, which: signal.Signals) -> None:
        self._trainer.signal(which)

    def kill(self, why: str) -> None:
        """SIGKILL, and say where it fell."""
        self.signal(signal.SIGKILL)
        self._trainer.wait(PATIENCE_S)
        self.over.wait(PATIENCE_S)
        print(f"killed {why}: {self.folder.name}, epoch {self.epoch}; left {self.left()}")

    def drain(self) -> None:
        """Have it save its state and end, as a worker that is drained does; caught or not."""
        number = int(self.folder.name.removeprefix("attempt-"))
        self.send(Stop(job_id=1, attempt=number, reason=WhyStop.DRAIN))
        # If it was caught.
        self.signal(signal.SIGCONT)
        assert self.over.wait(PATIENCE_S), self.messages[-1:]
        assert isinstance(self.verdict, Stopped), self.verdict

    def left(self) -> list[str]:
        """The names in its folder of states."""
        with suppress(FileNotFoundError):
            return sorted(path.name for path in (self.folder / FOLDER).iterdir())
        return []

    def finish(self) -> Finished:
        """Let it end."""
        assert self.over.wait(PATIENCE_S), self.messages[-1:]
        self._trainer.wait(PATIENCE_S)
        assert isinstance(self.verdict, Finished), self.verdict
        return self.verdict

    def end(self) -> None:
        self._trainer.__exit__()


class Job:
    """A job's attempts. The next trainer warms up while one works.

    Args:
        spec: its document.
        root: of its images.
        site: where attempts' folders lie.
        uid: of the job.
        settings: of its trainers; each epoch is saved, however busy the machine.
    """

    def __init__(
        self, spec: dict[str, Any], root: Path, site: Path, uid: str, **settings: object
    ) -> None:
        self.folders: list[Path] = []
        self._spec, self._root, self._site, self._uid = spec, root, site, uid
        self._settings = {"state_share": 1} | settings
        self._next = self._trainer()
        self._attempts: list[Attempt] = []

    def start(self, *, last: bool = False) -> Attempt:
        """The next attempt, which goes on from all before."""
        number = len(self.folders) + 1
        folder = attempt(self._site, number, self._uid)
        trainer = self._next
        trainer.send(
            job(self._spec, self._root, folder, attempt=number, resume_from=self.folders[::-1])
        )
        self.folders.append(folder)
        self._attempts.append(Attempt(trainer, folder))
        if not last:
            self._next = self._trainer()
        return self._attempts[-1]

    def _trainer(self) -> TrainerProcess:
        return TrainerProcess(self._site / "home", **self._settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._next.__exit__()
        for each in self._attempts:
            each.end()


def undisturbed(spec: dict[str, Any], root: Path, site: Path) -> tuple[Outcome, Attempt]:
    """What comes of the job when nobody kills it."""
    with Job(spec, root, site, "reference") as reference:
        run = reference.start(last=True)
        return outcome(run.folder, run.finish()), run


def places(folder: Path) -> list[tuple[int, int]]:
    """Epochs and batches of an attempt's states."""
    return [kept.order for kept in states(folder)]
