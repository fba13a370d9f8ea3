"""Layers that cannot take their input are found when a spec is read, without Keras."""

import json
from pathlib import Path
from typing import Any

import pytest

from fornada.db.states import FailureCode
from fornada.spec import Problem, SpecProblems, loads

HEAD = ["Flatten", {"Dense": {"units": "classes", "activation": "softmax"}}]


def conv(size: Any, **arguments: Any) -> dict[str, Any]:
    return {"Conv2D": {"filters": 4, "kernel_size": size, **arguments}}


def refused(*layers: Any, size: tuple[int, int] = (4, 6)) -> list[tuple[str, FailureCode]]:
    """Path and code of each problem of a model on gray images of this size."""
    return [(one.path, one.code) for one in problems([*layers, *HEAD], {"image_size": size})]


def problems(
    model: list[Any], data: dict[str, Any], loss: str = "SparseCategoricalCrossentropy"
) -> list[Problem]:
    document = {
        "data": {"train": "Train", "image_size": [4, 6], "color_mode": "grayscale", **data},
        "model": model,
        "compile": {"optimizer": "Adam", "loss": loss},
    }
    try:
        loads(json.dumps(document), data_root=Path("/srv"), base=Path("/srv"))
    except SpecProblems as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("layers", "place"),
    [
        ([conv(5)], "model.0.Conv2D"),
        ([conv([1, 7])], "model.0.Conv2D"),
        ([conv(3, dilation_rate=2)], "model.0.Conv2D"),
        ([conv(3), conv(3)], "model.1.Conv2D"),
        ([{"SeparableConv2D": {"filters": 4, "kernel_size": 5}}], "model.0.SeparableConv2D"),
        (["MaxPooling2D", "MaxPooling2D", "MaxPooling2D"], "model.2.MaxPooling2D"),
        ([{"AveragePooling2D": {"pool_size": 5, "strides": 1}}], "model.0.AveragePooling2D"),
        ([{"MinPooling2D": {"pool_size": [2, 7]}}], "model.0.MinPooling2D"),
        (["Flatten", conv(1)], "model.1.Conv2D"),
        (["GlobalMaxPooling2D", "MaxPooling2D"], "model.1.MaxPooling2D"),
        (["Flatten", "GlobalAveragePooling2D"], "model.1.GlobalAveragePooling2D"),
        (["Flatten", "ZeroPadding2D"], "model.1.ZeroPadding2D"),
        (["Flatten", {"SpatialDropout2D": {"rate": 0.1}}], "model.1.SpatialDropout2D"),
        (["Flatten", "RandomFlip"], "model.1.RandomFlip"),
        (["Flatten", {"RandomContrast": {"factor": 0.1}}], "model.1.RandomContrast"),
        (["Flatten", {"RandomRotation": {"factor": 0.1}}], "model.1.RandomRotation"),
        (["Flatten", {"RandomZoom": {"height_factor": 0.1}}], "model.1.RandomZoom"),
        ([conv(1, groups=2)], "model.0.Conv2D"),
        ([{"Reshape": {"target_shape": [5, -1]}}], "model.0.Reshape"),
        ([{"Reshape": {"target_shape": [5, 5]}}], "model.0.Reshape"),
    ],
)
def test_a_layer_that_cannot_take_its_input_is_refused_at_its_place(
    layers: list[Any], place: str
) -> None:
    assert refused(*layers) == [(place, FailureCode.MODEL_INVALID)]


@pytest.mark.parametrize(
    "layers",
    [
        [conv([4, 6])],
        [conv(9, padding="same"), conv(3), "MaxPooling2D"],
        [{"MaxPooling2D": {"pool_size": 9, "padding": "same"}}],
        [{"ZeroPadding2D": {"padding": 1}}, conv([6, 8])],
        [{"GlobalMaxPooling2D": {"keepdims": True}}, conv(1)],
        [conv(1), conv(1, groups=2)],
        [{"Reshape": {"target_shape": [2, -1]}}, {"Reshape": {"target_shape": [4, 6, 1]}}],
        # Only the data tells how many channels come out of the first layer.
        [{"Conv2D": {"filters": "classes", "kernel_size": 3}}, conv(1, groups=2)],
        [{"Dense": {"units": "classes"}}, {"Reshape": {"target_shape": [100]}}],
    ],
)
def test_a_layer_that_may_take_its_input_is_accepted(layers: list[Any]) -> None:
    assert refused(*layers) == []


def test_larger_images_make_the_model_possible() -> None:
    assert refused(conv(5)) != []
    assert refused(conv(5), size=(5, 5)) == []


DENSE = {"Dense": {"units": "classes"}}
THREE = {"class_names": ["a", "b", "c"]}
BINARY = {"label_mode": "binary"}


def of_size(*target: Any) -> dict[str, Any]:
    return {"Reshape": {"target_shape": target}}


@pytest.mark.parametrize(
    ("model", "data", "place", "shape", "remedy"),
    [
        ([DENSE], {}, 0, "(4, 6, classes)", "model.0.Dense"),
        ([conv(3), {"Dense": {"units": 8}}, DENSE], {}, 2, "(2, 4, classes)", "model.1.Dense"),
        # The Dense at the beginning is in its place: it mixes the channels of each pixel.
        (["Flatten", {"Dense": {"units": 8}}, of_size(2, 4), DENSE], {}, 3, "(2, cl", "model.3.De"),
        ([DENSE, "ReLU", {"Dropout": {"rate": 0.5}}], {}, 0, "(4, 6, classes)", "Flatten"),
        ([{"Dense": {"units": 1}}], BINARY, 0, "(4, 6, 1)", "GlobalMaxPooling2D"),
        ([of_size(8, 3), DENSE], {}, 1, "(8, classes)", "Flatten before model.1.Dense"),
        ([{"Conv2D": {"filters": "classes", "kernel_size": 3}}], {}, 0, "(2, 4, cl", "Average"),
        ([conv(3)], {}, 0, "(2, 4, 4)", "Flatten and Dense"),
        ([conv(3), {"GlobalMaxPooling2D": {"keepdims": True}}], {}, 1, "(1, 1, 4)", "keepdims: f"),
        (["Flatten", DENSE, of_size(5, 2)], {}, 2, "(5, 2)", "no Reshape"),
        (["Flatten", DENSE, of_size(-1, 1)], {}, 2, "(?, 1)", "no Reshape"),
        (["MaxPooling2D"], {}, 0, "(2, 3, 1)", "Flatten and Dense"),
        ([{"Rescaling": {"scale": 0.5}}], {}, 0, "(4, 6, 1)", "Flatten and Dense"),
        # One axis, but not one number for each class.
        ([conv(3), "Flatten"], BINARY, 1, "(32,)", "Dense: {units: 1}"),
        ([conv(3), "GlobalMaxPooling2D"], THREE, 1, "(4,)", "Dense: {units: classes}"),
        (["GlobalMaxPooling2D"], {}, 0, "(1,)", "Dense: {units: classes}"),
        (["Flatten", DENSE, of_size(2)], BINARY, 2, "(2,)", "no Reshape"),
    ],
)
def test_an_output_that_is_not_one_number_for_each_class_is_refused(
    model: list[Any], data: dict[str, Any], place: int, shape: str, remedy: str
) -> None:
    loss = "BinaryCrossentropy" if data == BINARY else "SparseCategoricalCrossentropy"

    found = problems(model, data, loss)

    layer = model[place] if isinstance(model[place], str) else next(iter(model[place]))
    (problem,) = [one for one in found if one.code is FailureCode.MODEL_INVALID]
    assert problem.path == f"model.{place}.{layer}"
    assert f"an output of shape {shape}" in problem.message
    assert remedy in problem.message.splitlines()[1]


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (["Flatten", DENSE], {}),
        ([DENSE, "GlobalMaxPooling2D"], {}),
        ([DENSE, "Flatten", DENSE], {}),
        ([{"Conv2D": {"filters": "classes", "kernel_size": 3}}, "GlobalMaxPooling2D"], THREE),
        ([conv(3), "GlobalAveragePooling2D"], {}),
        ([conv(3), "GlobalAveragePooling2D"], {"class_names": ["a", "b", "c", "d"]}),
        (["Flatten", DENSE, of_size(3)], THREE),
        (["Flatten", DENSE, of_size(-1)], {}),
        # Only the data tells how many values these have.
        ([DENSE, "Flatten"], {}),
        ([DENSE, of_size(-1)], {}),
        (["GlobalMaxPooling2D"], BINARY),
        ([conv([4, 6]), "Flatten", {"Dense": {"units": 1}}, of_size(1)], BINARY),
    ],
)
def test_an_output_that_may_be_one_number_for_each_class_is_accepted(
    model: list[Any], data: dict[str, Any]
) -> None:
    loss = "BinaryCrossentropy" if data == BINARY else "SparseCategoricalCrossentropy"
    assert problems(model, data, loss) == []
