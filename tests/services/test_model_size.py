"""How much memory a model needs is known before anything of it is allocated."""

import os
from typing import Any

import pytest

from fornada.db.states import FailureCode
from fornada.settings import Settings
from fornada.spec import Spec, from_document
from fornada.worker.trainer.failures import TrainingFailed
from fornada.worker.trainer.model.build import compute_size
from tests.services.trainer_jobs import document

SHAPE = (100, 100, 1)
ROOMY = Settings(max_parameters=10**13)


def spec(units: int, optimizer: Any = "Adam") -> Spec:
    model = ["Flatten", {"Dense": {"units": units}}, {"Dense": {"units": 3}}]
    made = document(model=model, compile__optimizer=optimizer)
    return from_document(made | {"data": made["data"] | {"train": "x"}})


@pytest.mark.parametrize(
    ("optimizer", "copies"),
    [
        ("SGD", 4),
        ({"SGD": {"momentum": 0.9}}, 6),
        ("RMSprop", 6),
        ({"RMSprop": {"centered": True, "momentum": 0.9}}, 10),
        ("Adam", 8),
        ({"Adam": {"amsgrad": True}}, 10),
        ({"Adam": {"use_ema": True}}, 10),
        ("AdamW", 8),
    ],
    ids=str,
)
def test_training_holds_what_the_optimizer_keeps_and_what_is_saved(
    optimizer: Any, copies: int
) -> None:
    size = compute_size(spec(5, optimizer), SHAPE, ROOMY)
    parameters = 10_000 * 5 + 5 + 5 * 3 + 3
    assert size.parameters == parameters
    assert size.training_bytes == parameters * 4 * copies


def test_a_model_is_refused_whose_saved_copies_would_not_fit() -> None:
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # Its parameters, gradients and moments would fit: 16 of the 32 bytes of each parameter.
    units = host // (24 * 10_000)
    with pytest.raises(TrainingFailed, match="training would need") as refused:
        compute_size(spec(units), SHAPE, ROOMY)
    assert refused.value.code is FailureCode.RESOURCE_LIMIT
    assert compute_size(spec(units // 4), SHAPE, ROOMY).parameters > 0
