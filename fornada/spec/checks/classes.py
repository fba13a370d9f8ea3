"""Compares a spec with the classes of its data.

The classes are known while the spec is read if it lists them in `data.class_names`. Otherwise they
are known once the training folder is listed.
"""

from collections.abc import Sequence

from fornada.spec.catalogue import losses
from fornada.spec.checks import output_shape
from fornada.spec.checks.draft import Draft
from fornada.spec.kinds.reading import At, Reading
from fornada.spec.problems import Problem
from fornada.spec.spec import Spec
from fornada.spec.values import CLASSES, ClassWeights, KerasObject, Value, is_index
from fornada.spec.wording import did_you_mean, listed


def problems(spec: Spec, classes: Sequence[str]) -> list[Problem]:
    """What does not fit the classes of the data.

    Args:
        spec: as it was read, still with the word "classes" and not with their number.
        classes: names, in the order of their labels.
    """
    return _compared(spec, classes).problems


def warnings(spec: Spec, classes: Sequence[str]) -> list[Problem]:
    """What fits the classes of the data but is probably a mistake.

    Args:
        spec: as for `problems`.
        classes: as for `problems`.
    """
    return _compared(spec, classes).warnings


def _compared(spec: Spec, classes: Sequence[str]) -> Reading:
    draft, at = _draft(spec), spec.at.without_problems()
    check(draft, tuple(classes), at)
    if shape := draft.image_shape:
        output_shape.check(draft, shape, at, len(classes))
    return at.reading


def _draft(spec: Spec) -> Draft:
    return Draft(
        data=vars(spec.data),
        model=spec.model,
        optimizer=spec.compile.optimizer,
        loss=spec.compile.loss,
        metrics=spec.compile.metrics,
        fit=vars(spec.fit),
        callbacks=spec.callbacks,
    )


def check(draft: Draft, classes: tuple[str, ...], at: At) -> None:
    """Record a problem or warning for everything that does not fit these classes."""
    weights = draft.fit.get("class_weight")
    if isinstance(weights, ClassWeights):
        _check_class_weight(weights, classes, at.key("fit").key("class_weight"))
    _check_units(draft, classes, at)
    _check_loss_and_metrics(draft, len(classes), at)


def _check_class_weight(weights: ClassWeights, classes: tuple[str, ...], here: At) -> None:
    """Check the keys of class_weight: each is a class, and no class has two weights.

    It warns where a key is read as an index but another class has this number as its name.
    """
    expected = f"Expected an index from 0 to {len(classes) - 1}, or one of: {listed(classes)}."
    for index in weights.indices:
        text = str(index)
        if index >= len(classes):
            quoted = f'\n  Did you mean "{text}", in quotes?' if text in classes else ""
            here.key(text).refuse(None, f"is not a class.\n  {expected}{quoted}")
        elif text in classes and classes.index(text) != index:
            here.key(text).warn(
                f'is an index, as in Keras: it means class "{classes[index]}".\n'
                f'  For the class with the name "{text}", write the key in quotes.'
            )
    for name in weights.names:
        if name not in classes:
            index = is_index(name) and int(name) < len(classes)
            hint = f"\n  Did you mean {name}, without quotes?" if index else ""
            hint = hint or did_you_mean(name, classes)
            here.key(name).refuse(None, f"is not a class.\n  {expected}{hint}")
        elif classes.index(name) in weights.indices:
            message = f"is given twice: by its name and by its index, {classes.index(name)}."
            here.key(name).refuse(None, message)
    if not _any_above_zero(weights, classes):
        here.refuse(None, "every class has the weight 0.\n  Expected at least one above 0.")


def _any_above_zero(weights: ClassWeights, classes: Sequence[str]) -> bool:
    """Whether some class has a weight above 0. A class that is not given has the weight 1."""
    given = [*weights.indices.values(), *weights.names.values()]
    return len(given) < len(classes) or any(given)


def _check_units(draft: Draft, classes: tuple[str, ...], at: At) -> None:
    """Check the units of the last layer, where it must have one unit for each class."""
    head, count = draft.head, len(classes)
    if head is None or head.class_name != "Dense" or draft.loss is None:
        return
    units = head.arguments.get("units")
    unit_per_class = losses.LABEL_MODES[draft.loss.class_name] != "binary"
    # `across_fields` already refuses a single unit, for any number of classes.
    if unit_per_class and isinstance(units, int) and units not in (1, count):
        at.place_of(head).key("units").refuse(
            None, f'{units} outputs for {count} classes.\n  Expected {count}, or "{CLASSES}".'
        )


def _check_loss_and_metrics(draft: Draft, count: int, at: At) -> None:
    """Check the arguments of loss and metrics that depend on the number of classes or outputs."""
    if draft.loss is None:
        return
    _check_ignored_class(draft.loss, count, at)
    outputs = 1 if losses.LABEL_MODES[draft.loss.class_name] == "binary" else count
    for metric in draft.metrics:
        here = at.place_of(metric)
        if metric.class_name in _TOP_K:
            _check_k(metric, count, here)
        elif metric.class_name == "AUC":
            _check_auc_labels(metric, outputs, count, here)
        elif metric.class_name in _OF_ONE_CLASS:
            _check_class_id(metric, outputs, count, here)


_TOP_K = ("sparse_top_k_categorical_accuracy", "SparseTopKCategoricalAccuracy")
# Metrics that can measure one class alone, with `class_id`.
_OF_ONE_CLASS = ("Precision", "Recall")
# The default `k` of `keras.metrics.sparse_top_k_categorical_accuracy`.
_DEFAULT_K = 5


def _number(value: Value, count: int) -> int | None:
    """An integer argument, with `count` in place of "classes"; None for any other value."""
    if value == CLASSES:
        return count
    return value if isinstance(value, int) else None


def _check_ignored_class(loss: KerasObject, count: int, at: At) -> None:
    ignored = _number(loss.arguments.get("ignore_class"), count)
    if ignored is not None and not 0 <= ignored < count:
        at.place_of(loss).key("ignore_class").refuse(
            None,
            f"{ignored} is not one of the {count} classes, so nothing is ignored.\n"
            f"  Expected an integer from 0 to {count - 1}, or null.",
        )


def _check_k(metric: KerasObject, count: int, here: At) -> None:
    k = _number(metric.arguments.get("k", _DEFAULT_K), count)
    if k is not None and k > count:
        here.key("k").refuse(
            None,
            f"accepts any of the {k} most likely of {count} classes, so it is always 1.\n"
            f"  Expected SparseTopKCategoricalAccuracy with a k below {count}.",
        )


def _check_class_id(metric: KerasObject, outputs: int, count: int, here: At) -> None:
    class_id = _number(metric.arguments.get("class_id"), count)
    if class_id is not None and class_id >= outputs:
        right = "0" if outputs == 1 else f"an integer from 0 to {outputs - 1}"
        here.key("class_id").refuse(
            None, f"{class_id} does not fit {_outputs(outputs)}.\n  Expected {right}, or null."
        )
    top_k = _number(metric.arguments.get("top_k"), count)
    if top_k is not None and top_k > outputs:
        here.key("top_k").refuse(
            None,
            f"{top_k} does not fit {_outputs(outputs)}.\n  Expected at most {outputs}, or null.",
        )


def _check_auc_labels(metric: KerasObject, outputs: int, count: int, here: At) -> None:
    labels = _number(metric.arguments.get("num_labels"), count)
    if labels is not None and labels != outputs:
        here.key("num_labels").refuse(
            None, f"{labels} does not fit {_outputs(outputs)}.\n  Expected {outputs}, or null."
        )
    weights = metric.arguments.get("label_weights")
    if isinstance(weights, tuple) and len(weights) != outputs:
        here.key("label_weights").refuse(
            None,
            f"a list of {len(weights)} does not fit {_outputs(outputs)}.\n"
            "  Expected a number for each output.",
        )


def _outputs(count: int) -> str:
    return "a model with one output" if count == 1 else f"a model with {count} outputs"
