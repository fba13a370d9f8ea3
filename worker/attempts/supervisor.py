"""A slot's supervisor: one attempt, from claim to verdict, then the next.

Thin: it knows no Keras. It hands the job to a trainer, passes on what the trainer reports, makes
it stop when somebody wants that, and records what came of it.
"""

import logging
import time
from pathlib import Path

from fornada import artifacts
from fornada.db.records import Claim, Failure, Requests, Verdict
from fornada.db.states import AttemptOutcome, JobState
from fornada.worker.attempts import reports
from fornada.worker.attempts.claimer import Claimer
from fornada.worker.attempts.lease import Lease
from fornada.worker.attempts.stopping import Stopping
from fornada.worker.attempts.verdict import LOG, Ending, not_begun, unsupervised, verdict
from fornada.worker.context import WorkerContext
from fornada.worker.messages import EpochReport, Started, Train, WhyStop
from fornada.worker.slots.factory import FactoryEnded
from fornada.worker.slots.slots import Slot
from fornada.worker.slots.trainer_process import Garbled, Trainer, Up
from fornada.worker.slots.trainers import Needs

log = logging.getLogger("fornada.worker")

# How often the supervisor looks whether somebody wants its trainer to stop.
TICK_S = 0.25
# After any other outcome nobody knows what is left in the process.
_ENDED_WELL = frozenset(
    {
        AttemptOutcome.SUCCEEDED,
        AttemptOutcome.CANCELLED,
        AttemptOutcome.PREEMPTED,
        AttemptOutcome.TIMED_OUT,
    }
)


class Supervisor:
    """Runs jobs on one slot, one at a time, in the thread that calls it."""

    def __init__(self, slot: Slot, context: WorkerContext) -> None:
        self.slot = slot
        # Id of the job that runs here now.
        self.job: int | None = None
        # When it was last told whether there is work for it.
        self.looked = time.monotonic()
        self._context = context
        self._claimer = Claimer(slot, context)

    def work(self) -> bool:
        """Claim jobs and run them until nothing is left for this slot, or the worker drains.

        Returns:
            Whether there was anything.
        """
        worked = False
        try:
            while not self._context.draining.is_set() and (claim := self._claim()) is not None:
                self._run_or_leave(claim)
                worked = True
        finally:
            self.job = None
        return worked

    def _run_or_leave(self, claim: Claim) -> None:
        state = None
        try:
            state = self.run_attempt(claim)
        finally:
            if state is None:
                self._claimer.unended(claim)

    def run_attempt(self, claim: Claim) -> JobState | None:
        """Tell one attempt from claim to verdict.

        Returns:
            The job's state afterwards; None when the attempt lost the job on the way.
        """
        begin = time.monotonic()
        name = f"job {claim.job_id}/{claim.attempt}"
        log.info("%s: claimed by slot %s: %s", name, self.slot.name, claim.name)
        with self._lease(claim) as lease:
            try:
                found = self._train(claim, lease)
            except Exception as exc:
                # The last resort, and the only one: a claimed job ends, whatever fails here.
                log.exception("%s: its supervisor failed", name)
                found = unsupervised(exc)
            state = lease.finish(found, pause_s=self._context.settings.retry_pause_s)
        seconds = time.monotonic() - begin
        if state is None:
            log.warning("%s: no longer ours; its trainer ended after %.1f s", name, seconds)
        else:
            log.info("%s: %s after %.1f s%s", name, state, seconds, _why(found.failure))
        return state

    def _train(self, claim: Claim, lease: Lease) -> Verdict:
        """Have a trainer train it, until it ends or loses the job; what came of it."""
        settings = self._context.settings
        needs = _needs(claim)
        # As the trainer limits itself: CUDA reserves more addresses than any host has memory.
        limit = None if self.slot.has_gpu and needs.gpu else settings.max_memory_bytes
        ending = Ending(self._folder(claim.uid, claim.attempt), claim.time_limit_s, limit)
        begin = time.monotonic()
        try:
            ending.folder.mkdir(parents=True, exist_ok=True)
            taken = self._take(claim, needs, lease, ending, begin)
        except OSError as exc:
            return not_begun(exc)
        except FactoryEnded as exc:
            ending.exit = exc.exit
            return verdict(ending, settings)
        if taken is None:
            return verdict(ending, settings)
        with taken as trainer:
            trainer.train(self._order(claim, ending, again=taken.again))
            stopping = Stopping(trainer, settings.grace_s)
            while not (trainer.silent or ending.said or lease.over):
                self._relay(trainer, lease, ending, claim)
                asked = lease.requests
                stopping.step(self._why_stop(asked, claim, begin), asked.grace_s)
            ending.asked = stopping.why
            if lease.over:
                # Whoever lost the job has no time to wait for.
                ending.exit = trainer.kill()
            elif not ending.again:
                ending.exit = trainer.end()
            found = verdict(ending, settings)
            if ending.again and found.outcome in _ENDED_WELL and trainer.release():
                self._context.trainers.keep(self.slot, trainer)
        return found

    def _take(
        self, claim: Claim, needs: Needs, lease: Lease, ending: Ending, begin: float
    ) -> Trainer | None:
        """A trainer, as soon as there is one; None when nobody wants it any more."""
        taken = None
        while taken is None and ending.asked is None and not lease.over:
            taken = self._context.trainers.take(self.slot, needs, TICK_S)
            ending.asked = self._why_stop(lease.requests, claim, begin)
        return taken

    def _claim(self) -> Claim | None:
        claim = self._claimer.next()
        self.looked = time.monotonic()
        self.job = None if claim is None else claim.job_id
        return claim

    def _lease(self, claim: Claim) -> Lease:
        return Lease(
            self._context.database,
            claim.fence,
            self._folder(claim.uid, claim.attempt) / LOG,
            lease_s=self._context.settings.lease_s,
            heartbeat_s=self._context.settings.heartbeat_s,
        )

    def _order(self, claim: Claim, ending: Ending, *, again: bool) -> Train:
        return Train(
            job_id=claim.job_id,
            uid=claim.uid,
            attempt=claim.attempt,
            spec=claim.spec,
            data_root=self._context.settings.data_root_path,
            folder=ending.folder,
            resume_from=[self._folder(uid, attempt) for uid, attempt in claim.resume_from],
            again=again,
        )

    def _folder(self, uid: str, attempt: int) -> Path:
        return artifacts.attempt_folder(self._context.settings, uid, attempt)

    def _why_stop(self, asked: Requests, claim: Claim, begin: float) -> WhyStop | None:
        if asked.cancel:
            return WhyStop.CANCEL
        if self._context.draining.is_set():
            return WhyStop.DRAIN
        if claim.time_limit_s is not None and time.monotonic() - begin > claim.time_limit_s:
            return WhyStop.TIME_LIMIT
        return None

    def _relay(self, trainer: Trainer, lease: Lease, ending: Ending, claim: Claim) -> None:
        try:
            for message in trainer.listen(TICK_S):
                self._pass_on(message, trainer, lease, ending, claim)
        except Garbled as exc:
            ending.garbled = str(exc)
            trainer.kill()

    def _pass_on(
        self, message: Up, trainer: Trainer, lease: Lease, ending: Ending, claim: Claim
    ) -> None:
        settings = self._context.settings
        if isinstance(message, Started):
            ending.epoch, ending.best = message.first_epoch - 1, message.best
            lease.started(reports.started(message, claim, settings))
        elif isinstance(message, EpochReport):
            ending.epoch, ending.best = message.number, message.best or ending.best
            lease.epoch(reports.epoch(message, settings))
        else:
            ending.said = message


def _why(failure: Failure | None) -> str:
    if failure is None:
        return ""
    # Keras's reasons have many lines; the log has one each.
    first, _, _ = failure.message.partition("\n")
    return f": {failure.code}: {first}"


def _needs(claim: Claim) -> Needs:
    # What is no spec, the trainer refuses.
    spec = claim.spec if isinstance(claim.spec, dict) else {}
    resources = spec.get("resources")
    # 0 is a job that must not use one, even on a GPU slot.
    gpu = not (isinstance(resources, dict) and resources.get("gpus") == 0)
    # Deterministic operations are a switch of the process.
    return Needs(gpu=gpu, alone=spec.get("reproducibility") == "deterministic")
