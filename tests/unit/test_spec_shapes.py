"""Layers that cannot take their input are found when a spec is read, without Keras."""

import json
from pathlib import Path
from typing import Any

import pytest

from fornada.db.states import FailureCode
from fornada.spec import SpecProblems, loads

HEAD = ["Flatten", {"Dense": {"units": "classes", "activation": "softmax"}}]


def conv(size: Any, **arguments: Any) -> dict[str, Any]:
    return {"Conv2D": {"filters": 4, "kernel_size": size, **arguments}}


def refused(*layers: Any, size: tuple[int, int] = (4, 6)) -> list[tuple[str, FailureCode]]:
    """Path and code of each problem of a model on gray images of this size."""
    document = {
        "data": {"train": "Train", "image_size": size, "color_mode": "grayscale"},
        "model": [*layers, *HEAD],
        "compile": {"optimizer": "Adam", "loss": "SparseCategoricalCrossentropy"},
    }
    try:
        loads(json.dumps(document), data_root=Path("/srv"), base=Path("/srv"))
    except SpecProblems as error:
        return [(one.path, one.code) for one in error.problems]
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
