"""What decides a training, in few words, as `show` prints it."""

from typing import Any

import pytest

from fornada.cli.hyperparameters import hyperparameters
from fornada.spec import loads

SPEC = """\
data: {{train: Data/Train, batch_size: 64, validation_split: 0.1, label_mode: int}}
model: [Flatten, {{Dense: {{units: 3, activation: softmax}}}}]
compile:
  optimizer: {optimizer}
  loss: SparseCategoricalCrossentropy
callbacks:
  - EarlyStopping: {{patience: 3}}
  - TerminateOnNaN
fit: {{epochs: 3, class_weight: {weights}}}
"""


def of(*, optimizer: str = "Adam", weights: str = "null") -> dict[str, str]:
    return hyperparameters(loads(SPEC.format(optimizer=optimizer, weights=weights)).document())


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Adam", "Adam(learning_rate=0.001)"),
        ("{Adam: {beta_1: 0.9}}", "Adam(learning_rate=0.001)"),
        (
            "{SGD: {momentum: 0.9, nesterov: true}}",
            "SGD(learning_rate=0.01, momentum=0.9, nesterov=True)",
        ),
        (
            "{Adam: {learning_rate: {CosineDecay: {initial_learning_rate: 0.1, decay_steps: 9}}}}",
            "Adam(learning_rate=CosineDecay(initial_learning_rate=0.1, decay_steps=9))",
        ),
    ],
)
def test_an_optimizer_has_its_learning_rate_and_what_is_no_default(written: str, said: str) -> None:
    assert of(optimizer=written)["optimizer"] == said


def test_each_callback_has_a_line() -> None:
    found = of()
    lines = found["callbacks"].splitlines()
    assert lines == ["EarlyStopping(monitor=val_loss, patience=3)", "TerminateOnNaN"]
    assert found["batch size"] == "64"
    assert found["layers"] == "Flatten, Dense"


@pytest.mark.parametrize(
    ("written", "said"), [("{0: 2, 1: 0.5}", "0: 2, 1: 0.5"), ("balanced", "balanced")]
)
def test_class_weights_are_as_a_person_writes_them(written: str, said: str) -> None:
    assert of(weights=written)["class weight"] == said


@pytest.mark.parametrize(
    "document", [{}, {"compile": {"optimizer": {"Lamb": {"lr": 1}}}, "callbacks": ["Snapshot"]}]
)
def test_what_another_version_recorded_is_shown_as_it_is(document: dict[str, Any]) -> None:
    found = hyperparameters(document)
    assert found.get("optimizer") in (None, "Lamb(lr=1)")
    assert found.get("callbacks") in (None, "Snapshot")
