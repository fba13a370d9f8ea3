"""What a trainer reports, as the record takes it."""

from contextlib import suppress

from fornada import artifacts
from fornada.db.records import BestModelRow, Claim, EpochRow, StartedFacts
from fornada.settings import Settings
from fornada.worker.messages import Best, EpochReport, RestoredEpoch, Started


def started(told: Started, claim: Claim, settings: Settings) -> StartedFacts:
    """What the trainer found before its first epoch."""
    data = told.data
    return StartedFacts(
        trainer_pid=told.trainer_pid,
        device=told.device,
        backend=told.backend,
        versions=told.versions,
        seed=told.seed,
        parameters=told.parameters,
        fingerprint=data.fingerprint,
        classes=data.classes,
        train=data.train,
        validation=data.validation,
        test=data.test,
        data_uri=str(claim.spec["data"]["train"]),
        first_epoch=told.first_epoch,
        first_batch=told.first_batch,
        restored=[epoch(each, settings) for each in told.restored],
        best=best_model(told.best, settings),
        inexact=told.inexact,
        reproducibility=told.reproducibility,
    )


def epoch(told: EpochReport | RestoredEpoch, settings: Settings) -> EpochRow:
    """One epoch, trained now or by the attempt that it was restored from."""
    return EpochRow(
        told.number,
        told.seconds,
        told.images_per_s,
        told.learning_rate,
        told.metrics,
        best_model(told.best, settings),
        told.attempt if isinstance(told, RestoredEpoch) else None,
    )


def best_model(best: Best | None, settings: Settings) -> BestModelRow | None:
    """The best model as it is recorded while the job runs; None when there is none to name."""
    if best is None:
        return None
    # A path outside of the artifacts has no URI; the verdict will say so.
    with suppress(ValueError):
        uri = artifacts.uri(settings, best.file.path)
        sha256 = best.file.sha256 or ""
        return BestModelRow(best.epoch, best.monitor, best.value, uri, best.file.bytes, sha256)
    return None
