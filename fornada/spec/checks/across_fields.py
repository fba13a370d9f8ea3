"""Checks that compare fields of a spec with each other.

A check uses only the values that could be read. It skips the others: their problems are already
reported.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fornada.spec import monitors
from fornada.spec.catalogue import FAMILIES, conditional, losses, metrics
from fornada.spec.catalogue.combinations import CHECKS
from fornada.spec.catalogue.family import Family
from fornada.spec.checks import checkpoints, classes, heads, output_shape, sizes
from fornada.spec.checks.draft import Draft
from fornada.spec.checks.validation import unvalidated
from fornada.spec.kinds.checkpoint_file import CHECKPOINT
from fornada.spec.kinds.reading import At
from fornada.spec.sections import NEVER_CROPPED
from fornada.spec.values import KerasObject
from fornada.spec.wording import did_you_mean, listed, nearest, sentence

_SWAP = "SwapEMAWeights"


def check(values: Mapping[str, Any], at: At) -> None:
    """Record a problem or warning for every contradiction.

    Args:
        values: by section and field; values that could not be read are missing.
        at: the root of the reading.
    """
    draft = Draft.of(values)
    complete = {name: not at.has_problem(*name.split(".")) for name in ("model", "compile.metrics")}
    for item, _ in list(at.reading.places.values()):
        if item.class_name in CHECKS:
            CHECKS[item.class_name](item.arguments, at.place_of(item))
        if item.class_name in conditional.CONDITIONAL:
            conditional.check(_family(item), item, at.place_of(item))
    _check_validation(draft, at)
    _check_cropping(draft, at)
    _check_class_names(draft, at)
    _check_label_mode(draft, at)
    _check_metric_names(draft, at)
    _check_layer_names(draft, at)
    _check_input(draft, at)
    # A list with a problem misses items, so these checks would report problems that do not exist.
    if complete["model"]:
        _check_output(draft, at)
        _check_size(draft, at)
        if draft.class_names:
            classes.check(draft, draft.class_names, at)
    if complete["compile.metrics"]:
        _check_monitors(draft, at)
        checkpoints.check(draft, at)
    _check_averages(draft, at)
    _check_learning_rate(draft, at)
    _check_modes(draft, at)
    if not at.has_problem("model") and not at.has_problem("compile"):
        heads.check(draft, at)


def _family(item: KerasObject) -> Family:
    return next(one for one in FAMILIES.values() if item.class_name in one.entries)


def _check_validation(draft: Draft, at: At) -> None:
    if not draft.data.get("validation_split"):
        return
    here, train = at.key("data").key("validation_split"), draft.data.get("train")
    if draft.data.get("validation"):
        here.refuse(None, "is given beside validation.\n  Expected only one of the two.")
    if train and train.subset:
        here.refuse(
            None,
            "is given beside a subset of train.\n"
            "  Expected validation: {folder: ..., validation_split: ..., subset: validation}.",
        )


def _check_cropping(draft: Draft, at: At) -> None:
    interpolation = draft.data.get("interpolation")
    if draft.data.get("crop_to_aspect_ratio") and interpolation in NEVER_CROPPED:
        at.key("data").key("interpolation").refuse(
            None,
            f"Keras does not crop with {interpolation}.\n"
            "  Expected another interpolation, or data.crop_to_aspect_ratio: false.",
        )


def _check_class_names(draft: Draft, at: At) -> None:
    names, here = draft.class_names, at.key("data").key("class_names")
    for name in sorted({name for name in names if names.count(name) > 1}):
        here.refuse(None, f'"{name}" is given twice.')
    if len(names) > 2 and draft.data.get("label_mode") == "binary":
        here.refuse(
            None, f"{len(names)} classes with label_mode binary.\n  Expected a list of 2 names."
        )


def _check_label_mode(draft: Draft, at: At) -> None:
    mode = draft.data.get("label_mode")
    if mode is None:
        return
    if draft.loss and losses.LABEL_MODES[draft.loss.class_name] != mode:
        takes = losses.LABEL_MODES[draft.loss.class_name]
        other = next(name for name, its in losses.LABEL_MODES.items() if its == mode)
        at.place_of(draft.loss).refuse(
            None,
            f"takes label_mode {takes}, and data.label_mode is {mode}.\n"
            f'  Expected {other}, or data.label_mode: {takes}.\n  Did you mean "{other}"?',
        )
    fitting = [name for name, modes in metrics.LABEL_MODES.items() if mode in modes]
    for metric in draft.metrics:
        modes = metrics.LABEL_MODES[metric.class_name]
        if mode not in modes:
            match = nearest(metric.class_name, fitting)
            hint = f'\n  Did you mean "{match}"?' if match else ""
            at.place_of(metric).refuse(
                None,
                f"takes label_mode {sentence(sorted(modes))}, and data.label_mode is {mode}.\n"
                f"  Expected one of: {listed(fitting)}.{hint}",
            )


def _check_metric_names(draft: Draft, at: At) -> None:
    seen = {"loss"}
    for metric in draft.metrics:
        name = monitors.reported_name(metric)
        if name in seen or name == monitors.LEARNING_RATE or name.startswith("val_"):
            at.place_of(metric).refuse(
                None,
                f'is reported as "{name}", a name that is already used or reserved.\n'
                "  Expected another name, for example {AUC: {name: auc_of_all}}.",
            )
        seen.add(name)


def _check_size(draft: Draft, at: At) -> None:
    shape = draft.image_shape
    if too_large := sizes.too_large(draft.model, shape):
        layer, message = too_large
        at.place_of(layer).refuse(None, message, sizes.TOO_LARGE)
    elif shape and (impossible := sizes.impossible(draft.model, shape)):
        layer, message = impossible
        at.place_of(layer).refuse(None, message, sizes.IMPOSSIBLE)
    elif shape:
        output_shape.check(draft, shape, at, len(draft.class_names) or None)


def _check_layer_names(draft: Draft, at: At) -> None:
    seen: set[object] = set()
    for layer in draft.model:
        name = layer.arguments.get("name")
        if name is not None and name in seen:
            here = at.place_of(layer).key("name")
            here.refuse(
                None, f'"{name}" is the name of an earlier layer.\n  Expected another name.'
            )
        seen.add(name)


def _check_input(draft: Draft, at: At) -> None:
    expected, mode = draft.image_shape, draft.data.get("color_mode")
    for layer in draft.model:
        if layer.class_name != "Input":
            continue
        here = at.place_of(layer)
        if here.path[1:2] != ("0",):
            here.refuse(None, "is not the first layer.\n  Expected it before all other layers.")
        shape = layer.arguments.get("shape")
        if shape and expected and shape != expected:
            here.key("shape").refuse(
                None,
                f"{list(shape)} is not the shape of the images.\n  Expected {list(expected)}: "  # type: ignore[arg-type]
                f"data.image_size {list(expected[:2])} and data.color_mode {mode}.",
            )


def _check_output(draft: Draft, at: At) -> None:
    """With label_mode binary the model has one output; else one output for each class."""
    head = draft.head
    if head is None or head.class_name != "Dense" or draft.loss is None:
        return
    units, loss = head.arguments.get("units"), draft.loss.class_name
    here = at.place_of(head).key("units")
    if losses.LABEL_MODES[loss] == "binary":
        if units != 1:
            here.refuse(None, f"{units} outputs with {loss}.\n  Expected 1.")
    elif units == 1:
        here.refuse(
            None,
            f"one output with {loss}.\n  Expected one output for each class.\n"
            '  Did you mean "classes"?',
        )


def _check_monitors(draft: Draft, at: At) -> None:
    produced = monitors.produces(draft.metrics, (), validates=draft.validates)
    for callback, here in _monitoring(draft, at):
        name = callback.arguments["monitor"]
        if not isinstance(name, str) or name in produced:
            continue
        known = monitors.produces(draft.metrics, (), validates=True)
        here.key("monitor").refuse(
            None,
            f'"{name}" is never produced.{unvalidated(name, draft)}\n'
            f"  This spec produces: {listed(produced)}."
            f"{_suggested_monitor(name, known if unvalidated(name, draft) else produced)}",
        )


def _monitoring(draft: Draft, at: At) -> Iterator[tuple[KerasObject, At]]:
    """The callbacks that use their monitor, each with its place.

    A ModelCheckpoint that saves every model does not use it. The first one always does, because
    its monitor decides which model is the best.
    """
    first = next((c for c in draft.callbacks if c.class_name == CHECKPOINT), None)
    for callback in draft.callbacks:
        saves_all = callback.arguments.get("save_best_only") is False and callback is not first
        if "monitor" in callback.arguments and not saves_all:
            yield callback, at.place_of(callback)


def _suggested_monitor(name: str, produced: tuple[str, ...]) -> str:
    """The "Did you mean" line. For any name with `acc`, it suggests the spec's accuracy metric."""
    if name in produced:
        return ""
    prefix = "val_" if name.startswith("val_") else ""
    if "acc" in name:
        accuracies = [one for one in produced if "accuracy" in one]
        same = [one for one in accuracies if one.startswith("val_") == bool(prefix)]
        if same or accuracies:
            return f'\n  Did you mean "{(same or accuracies)[0]}"?'
    return did_you_mean(name, produced)


def _check_learning_rate(draft: Draft, at: At) -> None:
    rate = draft.optimizer.arguments.get("learning_rate") if draft.optimizer else None
    if not isinstance(rate, KerasObject):
        return
    for callback in draft.callbacks:
        if callback.class_name == "ReduceLROnPlateau":
            at.place_of(callback).refuse(
                None,
                f"cannot change a learning rate that {rate.class_name} computes.\n"
                "  Expected a number as learning_rate, or no ReduceLROnPlateau.",
            )


def _check_modes(draft: Draft, at: At) -> None:
    """Warn if a callback takes the worst value of its monitor for the best."""
    for callback in draft.callbacks:
        name, mode = callback.arguments.get("monitor"), callback.arguments.get("mode")
        if not isinstance(name, str) or mode not in ("min", "max"):
            continue
        better = monitors.mode_of(name, "auto")
        if mode != better:
            worst, best = ("lowest", "higher") if mode == "min" else ("highest", "lower")
            at.place_of(callback).key("mode").warn(
                f"takes the {worst} {name} for the best one, but it is better when it is {best}. "
                f"Expected {better}, or auto."
            )


def _check_restored_weights(draft: Draft, swap: int, at: At) -> None:
    """Warn about callbacks before SwapEMAWeights that restore weights.

    Args:
        swap: position of SwapEMAWeights among the callbacks.
    """
    for callback in draft.callbacks[:swap]:
        if callback.arguments.get("restore_best_weights"):
            at.place_of(callback).key("restore_best_weights").warn(
                f"comes before {_SWAP}, so it restores weights that are not averaged, but the "
                f"averaged weights were evaluated. Expected {_SWAP} before it."
            )


def _check_averages(draft: Draft, at: At) -> None:
    """Check `use_ema` against SwapEMAWeights.

    The optimizer averages the weights; the callback puts the averages into the model.
    """
    averages = bool(draft.optimizer and draft.optimizer.arguments.get("use_ema"))
    names = [callback.class_name for callback in draft.callbacks]
    swaps = [callback for callback in draft.callbacks if callback.class_name == _SWAP]
    for place, swap in enumerate(swaps):
        if draft.optimizer and not averages:
            at.place_of(swap).refuse(
                None,
                f"finds no averaged weights: {draft.optimizer.class_name} has use_ema: false.\n"
                "  Expected use_ema: true in compile.optimizer.",
            )
        if place:
            at.place_of(swap).refuse(None, "is given twice.\n  Expected it once.")
    if swaps and CHECKPOINT in names[: names.index(_SWAP)]:
        at.place_of(swaps[0]).refuse(
            None,
            f"comes after {CHECKPOINT}, so {CHECKPOINT} would save other weights than those that "
            f"were evaluated.\n  Expected it before {CHECKPOINT}.",
        )
    if swaps:
        _check_restored_weights(draft, names.index(_SWAP), at)
    if averages and draft.optimizer and not swaps:
        at.place_of(draft.optimizer).key("use_ema").warn(
            "best.keras holds the weights that are evaluated, and these are not averaged; only "
            "last.keras holds the averaged weights, at the end.\n"
            "  To evaluate and keep the averaged weights: "
            "callbacks: [SwapEMAWeights: {swap_on_epoch: true}]."
        )
