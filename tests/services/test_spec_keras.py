"""The catalogue against Keras itself: what a spec says is what Keras builds."""

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from fornada.spec import KerasObject, monitors
from fornada.spec.catalogue import FAMILIES
from fornada.spec.catalogue.metrics import LABEL_MODES
from fornada.spec.catalogue.objects import Object
from fornada.spec.catalogue.signatures import BORROWED, signature
from fornada.spec.checks import sizes
from fornada.spec.kinds.fields import Fields
from fornada.spec.kinds.reading import At, Reading
from fornada.spec.sections import COMPILE, DATA, FIT
from fornada.spec.source.nodes import literal
from fornada.worker.trainer.model.keras_objects import make
from tests.services.witnesses import REQUIRED
from tests.unit.spec_strategies import one_object

_CONFIGURED = (
    "layers",
    "initializers",
    "regularizers",
    "constraints",
    "optimizers",
    "schedules",
    "losses",
    "metrics",
)
CLASSES = [
    (family, name)
    for family in _CONFIGURED
    for name in FAMILIES[family].entries
    if name not in (*BORROWED, "Input") and not (family == "metrics" and name.islower())
]


def read(family: str, document: object) -> KerasObject:
    """An object as a spec gives it."""
    at = At(Reading())
    item = Object(FAMILIES[family]).parse(literal(document), at)
    assert at.reading.problems == []
    return item


def house(family: str) -> Any:
    """The module of Keras where a family lives."""
    return keras.optimizers.schedules if family == "schedules" else getattr(keras, family)


def config(built: Any) -> Any:
    """What Keras says of an object, without the names that it numbers."""
    return _plain(built.get_config())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(("family", "name"), CLASSES)
def test_effective_arguments_build_what_keras_builds_by_default(family: str, name: str) -> None:
    required = REQUIRED.get(name, {})
    item = read(family, {name: required})
    # Only the names are to be numbered anew. Collecting all garbage takes a fifth of a second in a
    # process that has run many tests.
    keras.utils.clear_session(free_memory=False)
    ours = make(item, "test")
    keras.utils.clear_session(free_memory=False)
    theirs = getattr(house(family), name)(**required)

    assert type(ours) is type(theirs)
    assert config(ours) == config(theirs)


@pytest.mark.parametrize(("family", "name"), CLASSES)
def test_what_a_spec_may_give_keras_takes(family: str, name: str) -> None:
    @given(one_object(family, name))
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    def check(document: Any) -> None:
        item = Object(FAMILIES[family]).with_classes(read(family, document), 3)
        assert isinstance(item, KerasObject)
        make(item, "test")

    check()


@pytest.mark.parametrize("name", sorted(FAMILIES["callbacks"].entries))
def test_callbacks_keep_what_keras_keeps(name: str) -> None:
    # The one has no default in Keras, the other one that we refuse.
    arguments: dict[str, dict[str, Any]] = {
        "ModelCheckpoint": {"filepath": "best.keras"},
        "SwapEMAWeights": {"swap_on_epoch": True},
    }
    required = arguments.get(name, {})
    item = read("callbacks", {name: required})

    ours = getattr(keras.callbacks, name)(**item.arguments)
    theirs = getattr(keras.callbacks, name)(**required)

    assert vars(ours) == vars(theirs)


@pytest.mark.parametrize(("family", "name"), CLASSES)
def test_arguments_without_a_default_are_required(family: str, name: str) -> None:
    generated = signature(family, name).items()
    missing = {argument for argument, one in generated if "default" not in one}

    assert missing <= set(FAMILIES[family].arguments[name].required())
    assert set(FAMILIES[family].arguments[name].required()) == set(REQUIRED.get(name, {}))


@pytest.mark.parametrize(
    ("section", "function"),
    [
        (DATA, keras.utils.image_dataset_from_directory),
        (COMPILE, keras.Model.compile),
        (FIT, keras.Model.fit),
    ],
    ids=["data", "compile", "fit"],
)
def test_a_section_takes_each_argument_of_its_function_or_says_why_not(
    section: Fields, function: Any
) -> None:
    arguments = set(inspect.signature(function).parameters) - {"self"}
    assert arguments <= {*section.fields, *section.refused}
    assert not set(section.fields) & set(section.refused)


@pytest.mark.parametrize("name", sorted(FAMILIES["activations"].entries))
def test_activations_are_keras_functions_of_the_same_name(name: str) -> None:
    assert keras.activations.get(name).__name__ == name


@pytest.mark.parametrize("alias", sorted(FAMILIES["activations"].aliases))
def test_a_second_name_that_keras_knows_means_the_same(alias: str) -> None:
    meant = FAMILIES["activations"].aliases[alias]
    if hasattr(keras.activations, alias):
        assert keras.activations.get(alias) is keras.activations.get(meant)


@pytest.mark.parametrize("family", ["initializers", "regularizers", "constraints", "optimizers"])
def test_lower_case_spellings_are_keras_own(family: str) -> None:
    for alias, meant in FAMILIES[family].aliases.items():
        if hasattr(house(family), alias):
            assert getattr(house(family), alias) is getattr(house(family), meant)
        else:
            assert type(house(family).get(alias)).__name__ == meant


@pytest.mark.parametrize("name", sorted(FAMILIES["metrics"].entries))
def test_metrics_are_reported_by_the_name_we_say_and_in_the_direction_we_say(name: str) -> None:
    item = read("metrics", name)
    one_hot = "categorical" in LABEL_MODES[name]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    # Names and modes need no compiled graph.
    model.compile(loss=loss, metrics=[make(item, "test")], run_eagerly=True)
    images = np.zeros((2, 3), np.float32)
    labels = np.eye(2, dtype=np.float32) if one_hot else np.arange(2)

    history = model.fit(images, labels, validation_data=(images, labels), verbose=0).history

    callbacks = [read("callbacks", {"EarlyStopping": {"monitor": monitor}}) for monitor in history]
    produced = monitors.produces([item], callbacks, validates=True)
    assert set(history) == set(produced)
    for callback in callbacks:
        keras_callback = make(callback, "test")
        keras_callback.set_model(model)
        keras_callback._set_monitor_op()
        mode = "max" if keras_callback.monitor_op(1, 0) else "min"
        assert monitors.of(callback).mode == mode


# Keras's own, whenever it saves with NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    "activation",
    [
        {"relu": {"max_value": 1}},
        {"leaky_relu": {"negative_slope": 0.1}},
        {"elu": {"alpha": 0.5}},
        {"softmax": {"axis": 1}},
    ],
)
def test_a_model_whose_activation_has_arguments_loads_again(
    activation: dict[str, Any], tmp_path: Path
) -> None:
    item = read("layers", {"Dense": {"units": 3, "activation": activation}})
    model = keras.Sequential([keras.Input((4,)), make(item, "test")])
    path = tmp_path / "model.keras"
    images = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)

    model.save(path)
    loaded = keras.models.load_model(path)

    assert isinstance(item.arguments["activation"], KerasObject)
    np.testing.assert_array_equal(model.predict(images), loaded.predict(images))


# Layers whose sizes are worked out without Keras, over every way they can be given.
_STACKS: dict[str, list[Any]] = {
    "same": [{"Conv2D": {"filters": 4, "kernel_size": [3, 5], "padding": "same", "strides": 2}}],
    "valid": [{"Conv2D": {"filters": 4, "kernel_size": [3, 5], "strides": [2, 1]}}, "Flatten"],
    "dilated": [{"Conv2D": {"filters": 6, "kernel_size": 3, "dilation_rate": 2, "groups": 3}}],
    "separable": [{"SeparableConv2D": {"filters": 4, "kernel_size": 3, "depth_multiplier": 2}}],
    "pooled": ["MaxPooling2D", {"AveragePooling2D": {"pool_size": 3, "strides": 1}}, "Flatten"],
    "pooled to the border": [{"MaxPooling2D": {"pool_size": 3, "padding": "same"}}],
    "padded": [{"ZeroPadding2D": {"padding": [[1, 2], [0, 3]]}}, {"Dense": {"units": 5}}],
    "global": ["GlobalAveragePooling2D", {"Dense": {"units": 5}}],
    "global, kept": [{"GlobalMaxPooling2D": {"keepdims": True}}, {"Dense": {"units": 5}}],
    "reshaped": [{"Reshape": {"target_shape": [-1, 12]}}, {"Dense": {"units": 5}}],
}


@pytest.mark.parametrize("stack", _STACKS.values(), ids=_STACKS.keys())
def test_sizes_worked_out_from_the_spec_are_those_of_keras(stack: list[Any]) -> None:
    # The weights of a last layer say how many values came before.
    items = [read("layers", one) for one in [*stack, "Flatten", {"Dense": {"units": 1000}}]]
    model = keras.Sequential([keras.Input((12, 16, 3)), *(make(item, "test") for item in items)])
    biases = sum(w.shape[0] for w in model.weights if w.path.endswith("bias"))
    exact = model.count_params() - biases

    assert sizes.too_large(items, (12, 16, 3), limit=exact) is None
    found = sizes.too_large(items, (12, 16, 3), limit=exact - 1)
    assert found is not None
    assert f"{exact:,} parameters" in found[1]


_IMPOSSIBLE: dict[str, list[Any]] = {
    "window": [{"Conv2D": {"filters": 4, "kernel_size": [13, 1]}}],
    "dilated": [{"Conv2D": {"filters": 4, "kernel_size": 7, "dilation_rate": 2}}],
    "separable": [{"SeparableConv2D": {"filters": 4, "kernel_size": 13}}],
    "pooled": [{"MaxPooling2D": {"pool_size": 4}}, {"AveragePooling2D": {"pool_size": 4}}],
    "flat, then a convolution": ["Flatten", {"Conv2D": {"filters": 4, "kernel_size": 1}}],
    "flat, then padding": ["Flatten", "ZeroPadding2D"],
    "flat, then dropout": ["Flatten", {"SpatialDropout2D": {"rate": 0.5}}],
    "global twice": ["GlobalMaxPooling2D", "GlobalAveragePooling2D"],
    "groups": [{"Conv2D": {"filters": 4, "kernel_size": 1, "groups": 2}}],
    "reshaped": [{"Reshape": {"target_shape": [5, -1]}}],
}


@pytest.mark.parametrize("stack", _IMPOSSIBLE.values(), ids=_IMPOSSIBLE.keys())
def test_what_is_refused_from_the_spec_alone_keras_refuses_too(stack: list[Any]) -> None:
    items = [read("layers", one) for one in stack]
    assert sizes.impossible(items[:-1], (12, 16, 3)) is None
    assert sizes.impossible(items, (12, 16, 3)) is not None
    before = [make(item, "test") for item in items[:-1]]
    keras.Sequential([keras.Input((12, 16, 3)), *before])
    with pytest.raises(ValueError, match=r"size|shape|ndim|groups"):
        keras.Sequential([keras.Input((12, 16, 3)), *before, make(items[-1], "test")])


@pytest.mark.parametrize("stack", _STACKS.values(), ids=_STACKS.keys())
def test_what_keras_accepts_is_not_refused_from_the_spec(stack: list[Any]) -> None:
    assert sizes.impossible([read("layers", one) for one in stack], (12, 16, 3)) is None
