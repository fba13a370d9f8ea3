"""Arguments of loss and metrics that must fit the number of classes."""

import json
from pathlib import Path
from typing import Any

import pytest

from fornada.spec import Problem, Spec, SpecProblems, loads
from fornada.spec.checks import classes

THREE = ("a", "b", "c")
SPARSE, ONE_HOT, BINARY = (
    "SparseCategoricalCrossentropy",
    "CategoricalCrossentropy",
    "BinaryCrossentropy",
)
MODES = {SPARSE: "int", ONE_HOT: "categorical", BINARY: "binary"}


def read(loss: Any, metrics: list[Any], names: tuple[str, ...] = ()) -> Spec:
    name = loss if isinstance(loss, str) else next(iter(loss))
    units = 1 if name == BINARY else "classes"
    activation = "sigmoid" if name == BINARY else "softmax"
    document = {
        "data": {"train": "Train", "label_mode": MODES[name], "class_names": names or None},
        "model": ["Flatten", {"Dense": {"units": units, "activation": activation}}],
        "compile": {"optimizer": "Adam", "loss": loss, "metrics": metrics},
    }
    return loads(json.dumps(document), data_root=Path("/srv"), base=Path("/srv"))


def paths(found: list[Problem]) -> list[str]:
    return [problem.path for problem in found]


LABELS = {"multi_label": True}
UNFIT = [
    (ONE_HOT, {"Precision": {"class_id": 3}}, "class_id"),
    (ONE_HOT, {"Recall": {"class_id": 7}}, "class_id"),
    (ONE_HOT, {"Precision": {"top_k": 4}}, "top_k"),
    (ONE_HOT, {"AUC": {**LABELS, "num_labels": 5}}, "num_labels"),
    (ONE_HOT, {"AUC": {**LABELS, "num_labels": 2}}, "num_labels"),
    # Keras would use the single weight for every label, and divide by this weight alone.
    (ONE_HOT, {"AUC": {**LABELS, "label_weights": [1]}}, "label_weights"),
    (ONE_HOT, {"AUC": {**LABELS, "label_weights": [1, 2]}}, "label_weights"),
    (SPARSE, {"SparseTopKCategoricalAccuracy": {"k": 4}}, "k"),
    (SPARSE, {"SparseTopKCategoricalAccuracy": {"name": "top"}}, "k"),
    (SPARSE, "sparse_top_k_categorical_accuracy", "k"),
]


@pytest.mark.parametrize(("loss", "metric", "argument"), UNFIT)
def test_a_metric_that_does_not_fit_the_classes(loss: str, metric: Any, argument: str) -> None:
    name = metric if isinstance(metric, str) else next(iter(metric))
    place = f"compile.metrics.{name}.{argument}"
    assert paths(classes.problems(read(loss, [metric]), THREE)) == [place]
    # If the spec names the classes, the problem is found when it is read.
    with pytest.raises(SpecProblems) as found:
        read(loss, [metric], THREE)
    assert paths(found.value.problems) == [place]


@pytest.mark.parametrize(
    "metric",
    [
        {"Precision": {"class_id": 1}},
        {"Recall": {"top_k": 2}},
        {"Recall": {"top_k": "classes"}},
        {"AUC": {**LABELS, "num_labels": 2}},
        {"AUC": {**LABELS, "num_labels": "classes"}},
        {"AUC": {**LABELS, "label_weights": [1, 1]}},
    ],
)
def test_a_metric_that_needs_more_than_one_output(metric: Any) -> None:
    spec = read(BINARY, [metric])
    name, given = next(iter(metric.items()))
    argument = next(key for key in given if key != "multi_label")
    place = f"compile.metrics.{name}.{argument}"
    assert paths(classes.problems(spec, ("no", "yes"))) == [place]


def test_an_ignored_class_that_does_not_exist() -> None:
    spec = read({SPARSE: {"ignore_class": 7}}, [])
    assert paths(classes.problems(spec, THREE)) == [f"compile.loss.{SPARSE}.ignore_class"]
    assert classes.problems(spec, [str(number) for number in range(8)]) == []


@pytest.mark.parametrize(
    ("loss", "metrics"),
    [
        (
            ONE_HOT,
            [
                {"Precision": {"class_id": 2, "top_k": "classes"}},
                {"AUC": {**LABELS, "num_labels": 3, "label_weights": [1, 0, 2]}},
                {"AUC": {**LABELS, "num_labels": "classes", "name": "each"}},
            ],
        ),
        (BINARY, [{"Precision": {"class_id": 0, "top_k": 1}}, "AUC"]),
        ({SPARSE: {"ignore_class": 2}}, [{"SparseTopKCategoricalAccuracy": {"k": 2}}]),
    ],
)
def test_fitting_arguments_are_accepted(loss: Any, metrics: list[Any]) -> None:
    names = ("no", "yes") if loss == BINARY else THREE
    assert classes.problems(read(loss, metrics), names) == []
    assert classes.problems(read(loss, metrics, names), names) == []


@pytest.mark.parametrize(
    ("given", "argument"),
    [({"thresholds": [0.2, 0.4]}, "thresholds"), ({"label_weights": [0, 0]}, "label_weights")],
)
def test_a_mean_over_labels_that_keras_cannot_compute(given: Any, argument: str) -> None:
    with pytest.raises(SpecProblems) as found:
        read(ONE_HOT, [{"AUC": {**LABELS, **given}}])
    assert paths(found.value.problems) == [f"compile.metrics.AUC.{argument}"]


def test_evenly_spaced_thresholds_over_labels_are_accepted() -> None:
    assert read(ONE_HOT, [{"AUC": {**LABELS, "thresholds": [0.75, 0.25, 0.5]}}]).warnings == []
