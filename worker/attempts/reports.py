"""Turns a trainer's messages into the rows that the database stores."""

from contextlib import suppress

from fornada import artifacts
from fornada.db.records import BestModelRow, Claim, EpochRow, StartedFacts
from fornada.settings import Settings
from fornada.worker.messages import Best, EpochReport, RestoredEpoch, Started


def started(message: Started, claim: Claim, settings: Settings) -> StartedFacts:
    """What the trainer found before its first epoch."""
    data = message.data
    return StartedFacts(
        trainer_pid=message.trainer_pid,
        device=message.device,
        backend=message.backend,
        versions=message.versions,
        seed=message.seed,
        parameters=message.parameters,
        fingerprint=data.fingerprint,
        classes=data.classes,
        train=data.train,
        validation=data.validation,
        test=data.test,
        data_uri=str(claim.spec["data"]["train"]),
        first_epoch=message.first_epoch,
        first_batch=message.first_batch,
        restored=[epoch(each, settings) for each in message.restored],
        best=best_model(message.best, settings),
        inexact=message.inexact,
        anew=message.anew,
        reproducibility=message.reproducibility,
    )


def epoch(report: EpochReport | RestoredEpoch, settings: Settings) -> EpochRow:
    """One epoch, trained now, or restored and trained by an earlier attempt."""
    return EpochRow(
        report.number,
        report.seconds,
        report.images_per_s,
        report.learning_rate,
        report.metrics,
        best_model(report.best, settings),
        report.attempt if isinstance(report, RestoredEpoch) else None,
    )


def best_model(best: Best | None, settings: Settings) -> BestModelRow | None:
    """Row of the best model; None without a best model or with a path outside the artifacts."""
    if best is None:
        return None
    # A path outside of the artifacts has no URI. The verdict reports that error.
    with suppress(ValueError):
        uri = artifacts.uri(settings, best.file.path)
        sha256 = best.file.sha256 or ""
        return BestModelRow(best.epoch, best.monitor, best.value, uri, best.file.bytes, sha256)
    return None
