"""Warnings about a last layer that does not fit the loss, and metrics that do not fit the layer."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fornada.spec import Spec, SpecProblems, from_document, load, loads
from fornada.spec.checks.outputs import Gives, of

REPOSITORY = Path(__file__).parents[2]
SPARSE, ONE_HOT, BINARY = (
    "SparseCategoricalCrossentropy",
    "CategoricalCrossentropy",
    "BinaryCrossentropy",
)
MODES = {SPARSE: "int", ONE_HOT: "categorical", BINARY: "binary"}


def read(layers: list[Any], loss: str, metrics: list[Any], *, logits: bool) -> Spec:
    document = {
        "data": {"train": "Train", "label_mode": MODES[loss]},
        "model": ["Flatten", *layers],
        "compile": {
            "optimizer": "Adam",
            "loss": {loss: {"from_logits": logits}},
            "metrics": metrics,
        },
    }
    return loads(json.dumps(document), data_root=Path("/srv"), base=Path("/srv"))


def dense(activation: Any = None, units: Any = "classes") -> dict[str, Any]:
    return {"Dense": {"units": units, "activation": activation}}


def one(activation: Any = None) -> dict[str, Any]:
    return dense(activation, 1)


def warned(
    layers: list[Any], loss: str, metrics: list[Any] | None = None, *, logits: bool = False
) -> list[str]:
    """The places with a warning."""
    return [one.path for one in read(layers, loss, metrics or [], logits=logits).warnings]


HEAD = "model.1.Dense.activation"
SECOND = "model.2.Activation.activation"
SMALL = {"softmax": {"axis": -2}}


@pytest.mark.parametrize(
    ("layers", "loss", "logits", "place"),
    [
        ([dense()], SPARSE, False, HEAD),
        ([dense("relu")], SPARSE, False, HEAD),
        ([dense("tanh")], ONE_HOT, False, HEAD),
        ([dense("exponential")], SPARSE, False, HEAD),
        ([dense("log_softmax")], SPARSE, False, HEAD),
        ([dense("sigmoid")], SPARSE, False, HEAD),
        ([dense("sigmoid")], ONE_HOT, False, HEAD),
        ([dense("hard_sigmoid")], ONE_HOT, False, HEAD),
        ([dense(), "ReLU"], SPARSE, False, "model.2.ReLU"),
        ([dense(), "LeakyReLU"], SPARSE, False, "model.2.LeakyReLU"),
        ([dense(), {"Activation": {"activation": "tanh"}}], SPARSE, False, SECOND),
        ([dense(), {"Activation": {"activation": SMALL}}], SPARSE, False, SECOND),
        ([dense(SMALL)], SPARSE, False, HEAD),
        ([dense("softmax"), {"Activation": {"activation": "softmax"}}], SPARSE, False, SECOND),
        ([dense("sigmoid"), {"Activation": {"activation": "softmax"}}], SPARSE, False, SECOND),
        ([dense("softmax"), {"Dropout": {"rate": 0.2}}], SPARSE, False, "model.2.Dropout"),
        ([dense("softmax"), "BatchNormalization"], SPARSE, False, "model.2.BatchNormalization"),
        ([dense("softmax"), "LayerNormalization"], SPARSE, False, "model.2.LayerNormalization"),
        ([dense("softmax"), {"ReLU": {"max_value": 0.5}}], SPARSE, False, "model.2.ReLU"),
        ([dense("softmax"), {"Activation": {"activation": "tanh"}}], SPARSE, False, SECOND),
        ([dense("softmax"), {"Rescaling": {"scale": 2}}], SPARSE, False, "model.2.Rescaling"),
        ([dense("softmax")], SPARSE, True, HEAD),
        ([dense("softmax")], ONE_HOT, True, HEAD),
        ([dense(), {"Activation": {"activation": "softmax"}}], SPARSE, True, SECOND),
        ([dense("sigmoid")], SPARSE, True, HEAD),
        ([dense("relu")], SPARSE, True, HEAD),
        ([dense("tanh")], SPARSE, True, HEAD),
        ([one()], BINARY, False, HEAD),
        ([one("relu")], BINARY, False, HEAD),
        ([one("tanh")], BINARY, False, HEAD),
        ([one("softmax")], BINARY, False, HEAD),
        ([one("softmax")], BINARY, True, HEAD),
        ([one("log_softmax")], BINARY, True, HEAD),
        ([one("sigmoid")], BINARY, True, HEAD),
        ([one("sigmoid"), {"Dropout": {"rate": 0.5}}], BINARY, False, "model.2.Dropout"),
        ([one("sigmoid"), {"Activation": {"activation": "sigmoid"}}], BINARY, False, SECOND),
        ([], SPARSE, False, "model.0.Flatten"),
    ],
)
def test_a_head_that_does_not_fit_its_loss(
    layers: list[Any], loss: str, logits: bool, place: str
) -> None:
    assert warned(layers, loss, logits=logits) == [place]


CONVOLVED = {"Conv2D": {"filters": "classes", "kernel_size": 1, "activation": "softmax"}}


@pytest.mark.parametrize(
    ("layers", "loss", "logits"),
    [
        ([dense("softmax")], SPARSE, False),
        ([dense("Softmax")], ONE_HOT, False),
        ([dense({"softmax": {"axis": 1}})], SPARSE, False),
        ([dense("sparsemax")], SPARSE, False),
        ([dense(), {"Activation": {"activation": "softmax"}}], SPARSE, False),
        (
            [dense("linear"), "BatchNormalization", {"Activation": {"activation": "softmax"}}],
            SPARSE,
            False,
        ),
        (
            [dense(), {"Dropout": {"rate": 0.5}}, {"Activation": {"activation": "softmax"}}],
            SPARSE,
            False,
        ),
        ([dense("relu", 64), {"Dropout": {"rate": 0.5}}, dense("softmax")], SPARSE, False),
        # These do not change numbers between 0 and 1.
        ([dense("softmax"), "ReLU"], SPARSE, False),
        ([dense("softmax"), {"Activation": {"activation": "relu6"}}], SPARSE, False),
        ([dense("softmax", 64), dense("softmax")], SPARSE, False),
        ([dense("softmax"), {"Activation": {"activation": "linear"}}], SPARSE, False),
        ([dense("softmax"), {"Dropout": {"rate": 0}}], SPARSE, False),
        ([dense()], SPARSE, True),
        ([dense("linear")], ONE_HOT, True),
        ([dense("log_softmax")], SPARSE, True),
        ([dense(), "BatchNormalization"], SPARSE, True),
        ([one("sigmoid")], BINARY, False),
        ([one("hard_sigmoid")], BINARY, False),
        ([one(), {"Activation": {"activation": "sigmoid"}}], BINARY, False),
        ([one()], BINARY, True),
        (
            [{"Reshape": {"target_shape": [256, 256, 3]}}, CONVOLVED, "GlobalAveragePooling2D"],
            SPARSE,
            False,
        ),
    ],
)
def test_usual_heads_give_no_warning(layers: list[Any], loss: str, logits: bool) -> None:
    assert warned(layers, loss, logits=logits) == []


@pytest.mark.parametrize(
    ("head", "loss", "logits", "metric", "argument"),
    [
        (one(), BINARY, True, "accuracy", None),
        (one(), BINARY, True, "binary_accuracy", None),
        (one(), BINARY, True, "AUC", "from_logits"),
        (one(), BINARY, True, {"AUC": {"curve": "PR"}}, "from_logits"),
        (one(), BINARY, True, "Precision", "thresholds"),
        (one(), BINARY, True, {"Recall": {"thresholds": 0.3}}, "thresholds"),
        (one(), BINARY, True, {"BinaryAccuracy": {"threshold": 0.7}}, "threshold"),
        (dense(), ONE_HOT, True, "Recall", "thresholds"),
        (dense(), ONE_HOT, True, "AUC", "from_logits"),
        (one("sigmoid"), BINARY, False, {"AUC": {"from_logits": True}}, "from_logits"),
        (one("sigmoid"), BINARY, False, {"Precision": {"thresholds": 0}}, "thresholds"),
        (one("sigmoid"), BINARY, False, {"BinaryAccuracy": {"threshold": 0}}, "threshold"),
        (dense("softmax"), ONE_HOT, False, {"AUC": {"from_logits": True}}, "from_logits"),
    ],
)
def test_a_metric_that_expects_other_outputs_gives_a_warning(
    head: Any, loss: str, logits: bool, metric: Any, argument: str | None
) -> None:
    name = metric if isinstance(metric, str) else next(iter(metric))
    place = f"compile.metrics.{name}" + (f".{argument}" if argument else "")
    assert warned([head], loss, [metric], logits=logits) == [place]


@pytest.mark.parametrize(
    ("head", "loss", "logits", "metrics"),
    [
        (
            one(),
            BINARY,
            True,
            [
                {"BinaryAccuracy": {"threshold": 0}},
                {"AUC": {"from_logits": True}},
                {"Recall": {"thresholds": [0]}},
            ],
        ),
        (one("sigmoid"), BINARY, False, ["accuracy", "AUC", "Precision", "Recall"]),
        (dense(), SPARSE, True, ["accuracy", "sparse_top_k_categorical_accuracy"]),
        (dense(), ONE_HOT, True, ["accuracy", {"Precision": {"top_k": 1}}]),
        (dense("softmax"), ONE_HOT, False, ["accuracy", "AUC", "binary_accuracy", "Precision"]),
    ],
)
def test_metrics_that_fit_give_no_warning(
    head: Any, loss: str, logits: bool, metrics: list[Any]
) -> None:
    assert warned([head], loss, metrics, logits=logits) == []


def test_one_mistake_gives_one_warning() -> None:
    # A softmax corrects the metrics, too.
    assert warned([dense()], ONE_HOT, ["AUC", "Precision"]) == [HEAD]


def test_a_warning_is_one_line_with_the_place_and_what_to_write() -> None:
    text = (
        "data: {train: Train}\nmodel:\n- Flatten\n- Dense: {units: classes}\n"
        "compile: {optimizer: adam, loss: sparse_categorical_crossentropy}\n"
    )
    (warning,) = loads(text, file="a.yaml").warnings
    assert str(warning).startswith(f"a.yaml:4  {HEAD}: ")
    assert "\n" not in str(warning)
    assert "Expected activation: softmax, or from_logits: true in the loss." in str(warning)


def test_a_recorded_spec_has_the_same_warnings() -> None:
    spec = read([dense()], SPARSE, [], logits=False)
    again = from_document(spec.document()).warnings
    assert [one.message for one in again] == [one.message for one in spec.warnings]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "specs").glob("*.yaml")), ids=str)
def test_the_examples_give_no_warning(path: Path) -> None:
    assert load(path, base=REPOSITORY).warnings == []


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_specs_in_the_pages_give_no_warning(page: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / page).read_text(), re.DOTALL)
    specs = [block for block in blocks if "model:" in block]
    assert specs
    assert [loads(block).warnings for block in specs] == [[]] * len(specs)


def test_for_keras_softmax_layer_an_activation_is_suggested() -> None:
    with pytest.raises(SpecProblems) as found:
        read([dense(), "Softmax"], SPARSE, [], logits=False)
    assert "Activation: {activation: softmax}" in str(found.value)


def test_the_kind_of_numbers_that_a_model_gives() -> None:
    spec = read([dense("softmax"), "Flatten"], SPARSE, [], logits=False)
    output = of(spec.model)
    assert (output.gives, output.function) == (Gives.PROBABILITIES, "softmax")
