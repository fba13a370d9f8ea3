"""What a spec does, as plain values: one tiny training of a model, in this process.

Steps run without a compiled graph, which takes a hundredth of a second each.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fornada.settings import Settings
from fornada.spec import Spec, from_document
from fornada.worker.trainer.model.build import build

# Values of one name: arrays, numbers or texts.
Seen = dict[str, list[Any]]

SIDE, CLASSES, STEPS = 6, 3, 3
# What makes a difference in numbers, and what is only written down: in the saved model.
NUMBERS = frozenset({"first weights", "outputs", "in training", "logs", "weights", "evaluation"})
SAVED = frozenset({"saved"})
# Two numbers differ where more than rounding tells them apart.
_CLOSE = {"rtol": 1e-4, "atol": 1e-8}


def observe(document: Mapping[str, Any]) -> Seen:
    """Train a spec's model for a few steps on fixed images; see `_observe` for what is seen.

    Args:
        document: of a spec; `data.label_mode` decides the labels, `fit.class_weight` weighs them.
    """
    # With every default: a spec that gives one is the same as one that leaves it out.
    effective = from_document(document).document()
    return _observe(json.dumps(effective, sort_keys=True))


@cache
def _observe(text: str) -> Seen:
    spec = from_document(json.loads(text))
    classes = 2 if spec.data.label_mode == "binary" else CLASSES
    model = build(spec.with_classes(classes), (SIDE, SIDE, 3), classes, Settings())
    model.run_eagerly = True
    images, labels = _images(), _labels(spec.data.label_mode)
    weights = _weights(spec)
    layers = keras.Model(model.inputs[0], [layer.output for layer in model.layers])
    seen: Seen = {
        "first weights": model.get_weights(),
        "outputs": keras.tree.flatten(layers(images)),
        "in training": keras.tree.flatten(layers(images, training=True)),
        "logs": [],
    }
    for _ in range(STEPS):
        logs = model.train_on_batch(images, labels, weights, return_dict=True)
        seen["logs"] += logs.values()
        seen["logs"].append(float(model.optimizer.learning_rate))
    model.optimizer.finalize_variable_values(model.trainable_weights)
    seen["weights"] = model.get_weights()
    seen["evaluation"] = list(model.test_on_batch(images, labels, return_dict=True).values())
    seen["saved"] = [json.dumps([model.get_config(), model.get_compile_config()])]
    seen["reported"] = [logs]
    return seen


def differs(one: Seen, other: Seen) -> set[str]:
    """The names under which two observations differ by more than rounding."""
    return {name for name in one if not _equal(one[name], other[name])}


def _equal(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(_same, one, other))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str | dict):
        return bool(one == other)
    a, b = np.asarray(one), np.asarray(other)
    return a.shape == b.shape and np.allclose(a, b, equal_nan=True, **_CLOSE)


def _images() -> NDArray[np.float32]:
    """Values of both signs, beyond 1, and no plane without a slope."""
    return np.random.default_rng(0).normal(0, 2, (9, SIDE, SIDE, 3)).astype(np.float32)


def _labels(mode: str) -> NDArray[Any]:
    labels = np.arange(9) % CLASSES
    if mode == "categorical":
        return np.eye(CLASSES, dtype=np.float32)[labels]
    return (labels % 2).astype(np.float32)[:, None] if mode == "binary" else labels


def _weights(spec: Spec) -> NDArray[np.float32] | None:
    """Of each image; any weights that differ, in place of the spec's own."""
    if spec.fit.class_weight is None:
        return None
    return np.linspace(0.5, 3, 9, dtype=np.float32)
