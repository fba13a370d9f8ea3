"""Hypothesis strategies for valid specs, built from the catalogue itself.

The value of a kind is generated in every form that a person may write. Rules that compare several
fields are followed when the spec is put together.
"""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fornada.db.names import composed
from fornada.spec.catalogue import FAMILIES, losses, metrics
from fornada.spec.catalogue.activations import Activation
from fornada.spec.catalogue.arguments import ChannelsLast
from fornada.spec.catalogue.conditional import CONDITIONAL
from fornada.spec.catalogue.layers import Factor, Margins
from fornada.spec.catalogue.objects import Object
from fornada.spec.checks import sizes
from fornada.spec.datafolder import SPLIT, Folder, Validation
from fornada.spec.kinds.checkpoint_file import CheckpointFile
from fornada.spec.kinds.compound import Either, ListOf, Nullable, Pair
from fornada.spec.kinds.fields import Fields
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.named import Tags, Weights
from fornada.spec.kinds.plain import Boolean, Choice, Integer, Number, OnlyTrue, Verbosity
from fornada.spec.kinds.reading import At, Reading
from fornada.spec.kinds.text import ClassName, Duration, Label, Name, is_name
from fornada.spec.paths import DataPath
from fornada.spec.sections import DATA, NEVER_CROPPED, RESOURCES, RETRY
from fornada.spec.source import yaml_text
from fornada.spec.values import KerasObject

# Small, so that no generated model passes the limit of parameters.
_LARGEST = 6
# Text that YAML would read as something else if it had no quotes.
_TRAPS = st.sampled_from(["null", "true", "False", "1e3", "012", "12", "no", "-", "0.5", "1_0"])
_LABELS = _TRAPS | st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,12}", fullmatch=True).filter(
    lambda text: ".." not in text
)
_NAMES = _LABELS | st.text(
    st.characters(categories=["L", "M", "N"], include_characters="_-.", max_codepoint=0x2FFF),
    min_size=1,
    max_size=20,
).filter(lambda text: is_name(composed(text)))
_LINES = st.text(
    st.characters(
        min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cc", "Cs", "Cn"]
    ).filter(lambda letter: letter not in "\x7f\u2028\u2029\ufeff"),
    max_size=20,
)
# Names of checkpoints, without their endings.
_FILES = st.sampled_from(["model", "a b", "{epoch:02d}-{loss:.2f}", "models/{epoch}"])
_FOLDERS = st.lists(_LABELS.filter(lambda part: part != "."), min_size=1, max_size=3).map("/".join)


def written(kind: Kind) -> SearchStrategy[Any]:
    """Values of a kind, as JSON, in every form that a spec may have."""
    strategy: SearchStrategy[Any] = _SIMPLE[type(kind)](kind)
    return strategy


def arguments(its: Fields) -> SearchStrategy[dict[str, Any]]:
    """Mappings with all required names and some of the optional ones."""
    required = {name: written(one.kind) for name, one in its.fields.items() if one.required}
    optional = {name: written(one.kind) for name, one in its.fields.items() if not one.required}
    return st.fixed_dictionaries(required, optional=optional)


def objects(family: str, names: list[str] | None = None) -> SearchStrategy[Any]:
    """Objects of a family: `Name`, `{Name: null}` or `{Name: arguments}`."""
    return st.sampled_from(names or sorted(FAMILIES[family].entries)).flatmap(
        lambda name: one_object(family, name)
    )


def one_object(family: str, name: str) -> SearchStrategy[Any]:
    """Objects of one class of a family, in any of its spellings."""
    its = FAMILIES[family].arguments[name]
    spellings = [
        name,
        *(other for other, meant in FAMILIES[family].aliases.items() if meant == name),
    ]
    given = arguments(its).map(lambda values: agreeing(name, values))
    spelled = st.sampled_from(spellings)
    full = st.builds(lambda spelling, values: {spelling: values}, spelled, given)
    if its.required():
        return full
    return full | spelled | spelled.map(lambda spelling: {spelling: None})


def agreeing(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """`values` without those that contradict other values of the same class."""
    for clip in [n for n in ("clipnorm", "clipvalue", "global_clipnorm") if values.get(n)][1:]:
        del values[clip]
    if name in ("Conv2D", "SeparableConv2D"):
        values.pop("groups", None)
        values.pop("dilation_rate", None)
        if isinstance(values.get("strides"), list):
            values["strides"] = values["strides"][0]
    if name == "Normalization" and values.get("axis", -1) is None:
        values.update(mean=0, variance=1)
    if name == "Normalization":
        values["variance"] = [1] * len(values["mean"]) if isinstance(values["mean"], list) else 1
    if name == "Reshape":
        values["target_shape"] = [size for size in values["target_shape"] if size != -1] or [-1]
    if name == "PiecewiseConstantDecay":
        values["values"] = [0.1] * (len(values["boundaries"]) + 1)
    if name == "AUC":
        values["multi_label"] = True
        values.pop("thresholds", None)
        if values.get("label_weights"):
            values["label_weights"][0] = 1
    for low, high in (("minval", "maxval"), ("min_value", "max_value")):
        if name in ("RandomUniform", "MinMaxNorm") and {low, high} & set(values):
            values.update({low: 0.5, high: 1})
    _remove_refused(name, values)
    return values


def _remove_refused(name: str, values: dict[str, Any]) -> None:
    """Remove arguments that would have no effect, or are not supported here."""
    if name == "SparseTopKCategoricalAccuracy":
        values.pop("from_sorted_ids", None)
    if name in ("Precision", "Recall") and isinstance(values.get("thresholds"), list):
        del values["thresholds"][1:]
    for condition in CONDITIONAL.get(name, ()):
        for argument in condition.arguments:
            values.pop(argument, None)


def _integers(kind: Integer) -> SearchStrategy[Any]:
    low = max(kind.minimum, -9)
    numbers = st.integers(low, min(kind.maximum, max(low, _LARGEST)))
    return numbers | st.just("classes") if kind.classes else numbers


def _numbers(kind: Number) -> SearchStrategy[Any]:
    low = next((float(n) for n in (kind.minimum, kind.above) if n is not None), -1e6)
    high = next((float(n) for n in (kind.maximum, kind.below) if n is not None), 1e6)
    plain = st.floats(
        low,
        high,
        exclude_min=kind.above is not None,
        exclude_max=kind.below is not None,
        allow_subnormal=False,
    )
    # 1/3 lies in every range of the catalogue.
    return plain | st.sampled_from(["1/3", " 1 / 3", "1e-1/.3", "0.5/1e0"])


def _folders(kind: Folder) -> SearchStrategy[Any]:
    """Folders, subsets of folders, and for validation also the short form of a subset."""
    folder, split = st.fixed_dictionaries({"folder": _FOLDERS}), written(SPLIT)
    subset = st.fixed_dictionaries(
        {"validation_split": split, "subset": st.sampled_from(["training", "validation"])}
    )
    spellings = [st.just({}), subset]
    if "split" in kind.fields.fields:
        spellings.append(st.fixed_dictionaries({"split": st.none() | split}))
    return _FOLDERS | st.builds(lambda one, more: one | more, folder, st.one_of(spellings))


def _pairs(kind: Pair) -> SearchStrategy[Any]:
    inner = written(kind.kind)
    return inner | st.lists(inner, min_size=2, max_size=2)


def _lists(kind: ListOf) -> SearchStrategy[Any]:
    if kind.ascending:
        numbers = st.integers(0, 99)
        return st.lists(
            numbers, min_size=max(1, kind.minimum), max_size=kind.maximum or 4, unique=True
        ).map(sorted)
    inner = written(kind.kind)
    return st.lists(inner, min_size=kind.minimum, max_size=kind.maximum or kind.minimum + 3)


def _factors(kind: Factor) -> SearchStrategy[Any]:
    number = written(kind.number)
    plain = number.filter(lambda value: not isinstance(value, str))
    return number | st.lists(plain, min_size=2, max_size=2).map(sorted)


def _margins(_: Kind) -> SearchStrategy[Any]:
    side = st.integers(0, 3)
    pair = st.lists(side, min_size=2, max_size=2)
    return side | pair | st.lists(side | pair, min_size=2, max_size=2)


# Every data set has at least two classes, so the indices 0 and 1 exist.
_WEIGHTS = st.just("balanced") | st.fixed_dictionaries(
    {"index": st.dictionaries(st.sampled_from("01"), st.floats(0.1, 9), min_size=1)}
)
# The default `k` is 5, and some specs have fewer classes.
_TOP = {"SparseTopKCategoricalAccuracy": {"k": 1}}
_DURATIONS = st.sampled_from(["2h", "90m", "1h30m", "45s", "1d", "1.5s"]) | st.floats(1, 1e6)
_SIMPLE: Mapping[type[Kind], Any] = {
    Boolean: lambda _: st.booleans(),
    Integer: _integers,
    Number: _numbers,
    Choice: lambda kind: st.sampled_from(kind.choices),
    Verbosity: lambda _: st.sampled_from([0, 1, False, True]),
    Label: lambda _: _LABELS,
    Name: lambda _: _NAMES,
    Duration: lambda _: _DURATIONS,
    Nullable: lambda kind: st.none() | written(kind.kind),
    ListOf: _lists,
    Pair: _pairs,
    Either: lambda kind: st.one_of(*map(written, kind.kinds)),
    Object: lambda kind: st.deferred(lambda: objects(kind.family.name)),
    Activation: lambda _: st.deferred(lambda: objects("activations")),
    ChannelsLast: lambda _: st.sampled_from(["channels_last", None]),
    Factor: _factors,
    Margins: _margins,
    DataPath: lambda _: _FOLDERS,
    ClassName: lambda _: _LABELS,
    Tags: lambda _: st.none() | st.dictionaries(_LABELS, _LINES, max_size=3),
    Folder: _folders,
    Validation: _folders,
    Weights: lambda _: _WEIGHTS,
    OnlyTrue: lambda _: st.just(True),
    CheckpointFile: lambda _: _FILES.map("{}.keras".format),
}


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Whole specs, as JSON documents with paths relative to the data root."""
    data = draw(arguments(DATA))
    mode = data.setdefault("label_mode", "int")
    if data.get("validation") or "subset" in data["train"]:
        data.pop("validation_split", None)
    if data.get("interpolation") in NEVER_CROPPED:
        data.pop("crop_to_aspect_ratio", None)
    data["image_size"] = draw(st.sampled_from([8, [28, 28], [8, 12]]))
    names = data.get("class_names")
    if names:
        data["class_names"] = sorted({*names, "a", "b"})[: 2 if mode == "binary" else 4]
        if len(data["class_names"]) < 2:
            data["class_names"] = ["a", "b"]
    measured = _metrics(draw, mode, bounded=bool(data.get("class_names")))
    spec: dict[str, Any] = {
        "data": data,
        "model": _model(draw, mode, data),
        "compile": {
            "optimizer": draw(objects("optimizers")),
            "loss": _of_two(draw(one_object("losses", _loss(mode)))),
            "metrics": [metric for _, metric in measured],
        },
        "fit": draw(_fit()),
        "callbacks": _callbacks(draw, [name for name, _ in measured], data),
        "resources": draw(st.none() | arguments(RESOURCES)),
        "retry": draw(st.none() | arguments(RETRY)),
    }
    if _scheduled(spec["compile"]["optimizer"]):
        spec["callbacks"] = [one for one in spec["callbacks"] if "ReduceLROnPlateau" not in one]
    if draw(st.booleans()):
        spec |= {"name": draw(_LABELS), "tags": draw(written(Tags()))}
    return spec


def _loss(mode: str) -> str:
    return next(name for name, its in losses.LABEL_MODES.items() if its == mode)


def _scheduled(optimizer: Any) -> bool:
    given = next(iter(optimizer.values())) if isinstance(optimizer, dict) else None
    rate = (given or {}).get("learning_rate")
    return isinstance(rate, dict)


def _fit() -> SearchStrategy[Any]:
    given = {
        "epochs": st.integers(1, 99),
        "class_weight": st.none() | _WEIGHTS,
        "precision": st.sampled_from(["float32", "mixed_bfloat16", "mixed_float16"]),
        "jit": st.sampled_from(["auto", True, False]),
    }
    return st.none() | st.fixed_dictionaries({}, optional=given)


def _of_two(item: Any) -> Any:
    """The item without arguments that need more than two classes."""
    given = next(iter(item.values())) if isinstance(item, dict) else None
    for name in ("class_id", "ignore_class", "k", "label_weights", "num_labels", "top_k"):
        if given and name in given:
            given[name] = 1 if name == "k" else None
    return item


def _metrics(draw: st.DrawFn, mode: str, *, bounded: bool) -> list[tuple[str, Any]]:
    fitting = sorted(name for name, modes in metrics.LABEL_MODES.items() if mode in modes)
    if bounded:
        # It looks at the five most likely classes, and there are at most four.
        fitting = [name for name in fitting if name != "sparse_top_k_categorical_accuracy"]
    named: list[tuple[str, Any]] = []
    metric: Any
    for name in draw(st.lists(st.sampled_from(fitting), max_size=3, unique=True)):
        if not FAMILIES["metrics"].arguments[name].fields:
            reported, metric = name, name
        else:
            metric = draw(one_object("metrics", name))
            reported = f"m{len(named)}"
            given = next(iter(metric.values())) if isinstance(metric, dict) else {}
            metric = {name: {**(given or {}), "name": reported}}
            if bounded:
                metric = _of_two({name: {**_TOP.get(name, {}), **metric[name]}})
        named.append((reported, metric))
    return named


def _model(draw: st.DrawFn, mode: str, data: Mapping[str, Any]) -> list[Any]:
    known = sorted(set(FAMILIES["layers"].entries) - {"Input"})
    layers = draw(st.lists(objects("layers", known), max_size=4))
    for index, layer in enumerate(layers):
        given = next(iter(layer.values())) if isinstance(layer, dict) else None
        if given and given.get("name"):
            given["name"] = f"layer-{index}"
    units = 1 if mode == "binary" else "classes"
    return [*_possible(layers, data), "Flatten", {"Dense": {"units": units}}]


def _possible(layers: list[Any], data: Mapping[str, Any]) -> list[Any]:
    """The layers without those that cannot take the output of the layer before."""
    size = data["image_size"]
    channels = {"rgba": 4, "grayscale": 1}.get(data.get("color_mode", "rgb"), 3)
    shape = (*(size if isinstance(size, list) else (size, size)), channels)
    kept: list[Any] = []
    read: list[KerasObject] = []
    for layer in layers:
        node = yaml_text.read(json.dumps(layer), "<layer>")
        item = Object(FAMILIES["layers"]).parse(node, At(Reading()))
        if sizes.impossible([*read, item], shape) is None:
            kept.append(layer)
            read.append(item)
    return kept


def _callbacks(draw: st.DrawFn, reported: list[str], data: dict[str, Any]) -> list[Any]:
    produced = ["loss", *reported]
    if data.get("validation") or data.get("validation_split"):
        produced += [f"val_{name}" for name in produced]
    # SwapEMAWeights needs an optimizer with use_ema, and a certain order of callbacks.
    names = sorted(set(FAMILIES["callbacks"].entries) - {"SwapEMAWeights"})
    chosen = []
    for place, name in enumerate(draw(st.lists(st.sampled_from(names), max_size=3))):
        given = draw(arguments(FAMILIES["callbacks"].arguments[name]))
        if name != "TerminateOnNaN":
            given["monitor"] = draw(st.sampled_from(produced))
        if name == "ModelCheckpoint":
            ending = ".weights.h5" if given.get("save_weights_only") else ".keras"
            given["filepath"] = f"{place}-{draw(_FILES)}{ending}"
        chosen.append({name: given})
    return chosen
