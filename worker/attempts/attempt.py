"""One attempt at a job, from its claim to its verdict.

This process does not import Keras. It hands the job to a trainer, records what the trainer
reports, stops the trainer when asked to, and records the verdict.
"""

import logging
import time
from pathlib import Path

from fornada import artifacts
from fornada.db.records import Claim, Failure, Requests, Verdict
from fornada.db.states import AttemptOutcome, JobState
from fornada.worker.attempts import reports
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

# Seconds between two checks whether the trainer must stop.
TICK_S = 0.25
# After these outcomes the trainer may serve another job. After any other outcome the state of its
# process is unknown.
_ENDED_WELL = frozenset(
    {
        AttemptOutcome.SUCCEEDED,
        AttemptOutcome.CANCELLED,
        AttemptOutcome.PREEMPTED,
        AttemptOutcome.TIMED_OUT,
    }
)


class Attempt:
    """An attempt: its lease, its trainer and how it ended.

    Args:
        claim: the job, claimed for this attempt.
        slot: where its trainer runs.
        context: what the supervisors of this worker share.
    """

    def __init__(self, claim: Claim, slot: Slot, context: WorkerContext) -> None:
        settings = context.settings
        self._claim = claim
        self._slot = slot
        self._context = context
        self._settings = settings
        self._began = time.monotonic()
        # Whether this attempt has trained an epoch.
        self._trained = False
        self._needs = _needs(claim)
        # On a GPU the trainer sets no memory limit: CUDA reserves more address space than
        # any host has memory.
        on_gpu = slot.has_gpu and self._needs.gpu
        self._ending = Ending(
            self._folder(claim.uid, claim.attempt),
            claim.time_limit_s,
            None if on_gpu else settings.max_memory_bytes,
            job_id=claim.job_id,
        )
        self._lease = Lease(
            context.database,
            claim.fence,
            self._ending.folder / LOG,
            lease_s=settings.lease_s,
            heartbeat_s=settings.heartbeat_s,
        )

    def run(self) -> JobState | None:
        """Run the attempt from claim to verdict.

        Returns:
            The job's state afterwards; None when the attempt lost the job before its verdict.
        """
        name = f"job {self._claim.job_id}/{self._claim.attempt}"
        log.info("%s: claimed by slot %s: %s", name, self._slot.name, self._claim.name)
        with self._lease:
            try:
                found = self._train()
            except Exception as exc:
                # Catch every error: a claimed job must get a verdict, whatever fails here.
                log.exception("%s: its supervisor failed", name)
                found = unsupervised(exc)
            found = self._context.fitness.judged(
                self._slot.name, self._claim, found, trained=self._trained
            )
            state = self._lease.finish(found, pause_s=self._settings.retry_pause_s)
        seconds = time.monotonic() - self._began
        if state is None:
            log.warning("%s: lost the job; its trainer ended after %.1f s", name, seconds)
        else:
            log.info("%s: %s after %.1f s%s", name, state, seconds, _why(found.failure))
        return state

    def _train(self) -> Verdict:
        """Have a trainer train the job until it ends, or until the attempt loses the job."""
        try:
            self._ending.folder.mkdir(parents=True, exist_ok=True)
            taken = self._take_trainer()
        except OSError as exc:
            return not_begun(exc)
        except FactoryEnded as exc:
            self._ending.exit = exc.exit
            return verdict(self._ending, self._settings)
        if taken is None:
            return verdict(self._ending, self._settings)
        with taken as trainer:
            trainer.train(self._train_message(again=trainer.again))
            stopping = Stopping(trainer, self._settings.grace_s)
            while not (trainer.silent or self._ending.last_message or self._lease.over):
                self._listen(trainer)
                # The lease's thread replaces the requests: read them once.
                asked = self._lease.requests
                stopping.step(self._why_stop(asked), asked.grace_s)
            self._ending.asked = stopping.why
            return self._end(trainer)

    def _take_trainer(self) -> Trainer | None:
        """Wait for a trainer; None when the attempt must stop before there is one."""
        taken = None
        while taken is None and self._ending.asked is None and not self._lease.over:
            taken = self._context.trainers.take(self._slot, self._needs, TICK_S)
            self._ending.asked = self._why_stop(self._lease.requests)
        return taken

    def _end(self, trainer: Trainer) -> Verdict:
        """End the trainer, or keep it for the slot's next job."""
        ending = self._ending
        if self._lease.over:
            # Another attempt may already own the job, so do not wait for the trainer.
            ending.exit = trainer.kill()
        elif not ending.again:
            ending.exit = trainer.end()
        found = verdict(ending, self._settings)
        if ending.again and found.outcome in _ENDED_WELL and trainer.release():
            self._context.trainers.keep(self._slot, trainer)
        return found

    def _train_message(self, *, again: bool) -> Train:
        claim = self._claim
        return Train(
            job_id=claim.job_id,
            uid=claim.uid,
            attempt=claim.attempt,
            spec=claim.spec,
            data_root=self._settings.data_root_path,
            folder=self._ending.folder,
            resume_from=[self._folder(uid, attempt) for uid, attempt in claim.resume_from],
            again=again,
            after_host_oom=claim.after_host_oom,
        )

    def _folder(self, uid: str, attempt: int) -> Path:
        return artifacts.attempt_folder(self._settings, uid, attempt)

    def _why_stop(self, asked: Requests) -> WhyStop | None:
        limit_s = self._claim.time_limit_s
        if asked.cancel:
            return WhyStop.CANCEL
        if self._context.draining.is_set():
            return WhyStop.DRAIN
        used_s = self._claim.used_s + time.monotonic() - self._began
        if limit_s is not None and used_s > limit_s:
            return WhyStop.TIME_LIMIT
        return None

    def _listen(self, trainer: Trainer) -> None:
        try:
            for message in trainer.listen(TICK_S):
                self._record(message)
        except Garbled as exc:
            self._ending.garbled = str(exc)
            trainer.kill()

    def _record(self, message: Up) -> None:
        ending = self._ending
        if isinstance(message, Started):
            ending.epoch, ending.best = message.first_epoch - 1, message.best
            self._lease.started(reports.started(message, self._claim, self._settings))
        elif isinstance(message, EpochReport):
            if not self._trained:
                self._trained = True
                self._context.fitness.trained(self._slot.name)
            ending.epoch, ending.best = message.number, message.best or ending.best
            self._lease.epoch(reports.epoch(message, self._settings))
        else:
            ending.last_message = message


def _why(failure: Failure | None) -> str:
    if failure is None:
        return ""
    # A message of Keras has many lines; the log shows the first.
    first, _, _ = failure.message.partition("\n")
    return f": {failure.code}: {first}"


def _needs(claim: Claim) -> Needs:
    # The spec may be anything if somebody pushed the document into the queue. The trainer refuses
    # such a spec.
    spec = claim.spec if isinstance(claim.spec, dict) else {}
    # Keras turns on deterministic operations for a whole process, so such a job needs a trainer of
    # its own.
    return Needs(gpu=claim.may_use_gpu, alone=spec.get("reproducibility") == "deterministic")
