"""A job on a program that another one compiled: bit-identical to one in a fresh process."""

from pathlib import Path
from typing import Any

import keras
import pytest

from fornada.settings import Settings
from fornada.spec import from_document
from fornada.worker.messages import Finished
from fornada.worker.trainer.engine.programs import PROGRAMS, Programs, structure
from fornada.worker.trainer.model.build import build
from tests.services.resuming import (
    Outcome,
    Run,
    attempt,
    noisy,
    outcome,
    run_job,
    same,
    write_noisy,
)
from tests.services.trainer_jobs import TrainerProcess, document, job

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DENSE: list[Any] = [
    {"Rescaling": {"scale": 1 / 255}},
    "Flatten",
    {"Dense": {"units": 8, "activation": "relu"}},
    "BatchNormalization",
    {"Dropout": {"rate": 0.3}},
    {"Dense": {"units": "classes", "activation": "softmax"}},
]
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "Adam": {"learning_rate": 0.01, "gradient_accumulation_steps": 2},
    "SGD": {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
    "RMSprop": {"learning_rate": 0.003, "use_ema": True},
}


def kind(optimizer: str, seed: int, factor: float = 1.0, **fit: Any) -> dict[str, Any]:
    """Jobs that differ in seed and learning rate alone; with early stopping and plateaus."""
    arguments = dict(OPTIMIZERS[optimizer])
    arguments["learning_rate"] *= factor
    return noisy(
        model=DENSE,
        data__seed=seed,
        compile__optimizer={optimizer: arguments},
        fit={"epochs": 12, **fit},
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("programs")
    write_noisy(site)
    return site


def fresh(spec: dict[str, Any], site: Path, uid: str) -> Outcome:
    """What a job comes to in a process of its own."""
    folder = attempt(site, 1, uid)
    with TrainerProcess(site) as trainer:
        trainer.send(job(spec, site, folder))
        *_, verdict = trainer.messages()
    assert isinstance(verdict, Finished), verdict
    return outcome(folder, verdict)


def reused(spec: dict[str, Any], site: Path, uid: str) -> tuple[Run, bool]:
    """A job here, and whether it found its program."""
    model = build(from_document(spec).with_classes(3), (8, 8, 3), 3, Settings())
    model._symbolic_build(data_batch=_example())
    kept = structure(model) in PROGRAMS._kept
    return run_job(spec, site, attempt(site, 1, uid)), kept


def _example() -> tuple[Any, Any]:
    return keras.ops.zeros((1, 8, 8, 3)), keras.ops.zeros((1,), "int32")


# JAX compiles every step.
JIT: list[dict[str, Any]] = [] if keras.backend.backend() == "jax" else [{"jit": True}]


@pytest.mark.parametrize(
    ("optimizer", "fit"),
    [("Adam", {}), ("SGD", {}), ("RMSprop", {}), *(("SGD", fit) for fit in JIT)],
)
def test_equal_to_a_fresh_process(optimizer: str, fit: dict[str, Any], site: Path) -> None:
    name = f"{optimizer}{len(fit)}"
    run_job(kind(optimizer, 1, 3.0, **fit), site, attempt(site, 1, f"{name}-first"))
    spec = kind(optimizer, 2, **fit)
    run, kept = reused(spec, site, f"{name}-second")
    assert kept
    same(outcome(run.folder, run.finished), fresh(spec, site, f"{name}-fresh"))


def test_what_varies_is_no_part_of_a_structure() -> None:
    def of(**changes: Any) -> str:
        spec = from_document(document(**changes)).with_classes(3)
        model = build(spec, (8, 8, 3), 3, Settings())
        return structure(model)

    adam = {"Adam": {"learning_rate": 0.3}}
    assert of() == of(data__seed=9) == of(compile__optimizer=adam) == of(fit={"epochs": 7})
    decay = {"initial_learning_rate": 0.01, "decay_steps": 5, "decay_rate": 0.5}
    others: list[dict[str, Any]] = [
        {"compile__optimizer": {"Adam": {"learning_rate": 0.01, "beta_1": 0.5}}},
        {"compile__optimizer": {"SGD": {"learning_rate": 0.01}}},
        {"compile__optimizer": {"Adam": {"learning_rate": {"ExponentialDecay": decay}}}},
        {"compile__metrics": []},
        {"fit": {"epochs": 1, "precision": "mixed_bfloat16"}},
        {"model": DENSE},
        {"model": [*DENSE[:4], {"Dropout": {"rate": 0.4}}, DENSE[5]]},
    ]
    assert len({of(), *(of(**other) for other in others)}) == 1 + len(others)


def test_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def built(units: int) -> keras.Model:
        layers = ["Flatten", {"Dense": {"units": units}}, DENSE[5]]
        spec = from_document(document(model=layers)).with_classes(3)
        model = build(spec, (8, 8, 3), 3, Settings())
        model._symbolic_build(data_batch=_example())
        return model

    monkeypatch.setattr("fornada.worker.trainer.engine.programs._MOST", 2)
    programs = Programs()
    taken = [programs.take(built(units)) for units in (2, 3, 4)]
    for program in taken:
        programs.give_back(program)
    assert [programs.take(built(units)) is taken[units - 2] for units in (2, 3, 4)] == [
        False,
        True,
        True,
    ]
    monkeypatch.setattr("fornada.worker.trainer.engine.programs._MOST_BYTES", taken[0].bytes - 1)
    programs.give_back(taken[0])
    assert programs.take(built(2)) is not taken[0]
