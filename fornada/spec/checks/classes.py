"""A spec against the classes of its data.

The classes are known while a spec is read if it names them in `data.class_names`; else once its
training folder was listed.
"""

from collections.abc import Sequence

from fornada.spec.catalogue import losses
from fornada.spec.checks.draft import Draft
from fornada.spec.kinds.reading import At, Reading
from fornada.spec.problems import Problem
from fornada.spec.spec import Spec
from fornada.spec.values import CLASSES, ClassWeights, KerasObject, Value, is_index
from fornada.spec.wording import did_you_mean, listed


def problems(spec: Spec, classes: Sequence[str]) -> list[Problem]:
    """What of a spec does not fit the classes of its data.

    Args:
        spec: as it was read: with "classes", and not with their number.
        classes: names, in the order of their labels.
    """
    return _compared(spec, classes).problems


def warnings(spec: Spec, classes: Sequence[str]) -> list[Problem]:
    """What of a spec fits the classes of its data, and is most likely not meant.

    Args:
        spec: as of `problems`.
        classes: as of `problems`.
    """
    return _compared(spec, classes).warnings


def _compared(spec: Spec, classes: Sequence[str]) -> Reading:
    at = spec.at.without_problems()
    check(_draft(spec), tuple(classes), at)
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
    """Record everything that does not fit these classes."""
    weights = draft.fit.get("class_weight")
    if isinstance(weights, ClassWeights):
        _class_weight(weights, classes, at.key("fit").key("class_weight"))
    _units(draft, classes, at)
    _compiled(draft, len(classes), at)


def _class_weight(weights: ClassWeights, classes: tuple[str, ...], here: At) -> None:
    """Each key is a class, each class has one weight, and the two kinds of keys are told apart."""
    expected = f"Expected an index from 0 to {len(classes) - 1}, or one of: {listed(classes)}."
    for index in weights.indices:
        text = str(index)
        if index >= len(classes):
            quoted = f'\n  Did you mean "{text}", in quotes?' if text in classes else ""
            here.key(text).refuse(None, f"is no class.\n  {expected}{quoted}")
        elif text in classes and classes.index(text) != index:
            here.key(text).warn(
                f'is an index, as in Keras: of class "{classes[index]}".\n'
                f'  For the class of the name "{text}" write it in quotes.'
            )
    for name in weights.names:
        if name not in classes:
            index = is_index(name) and int(name) < len(classes)
            hint = f"\n  Did you mean {name}, without quotes?" if index else ""
            hint = hint or did_you_mean(name, classes)
            here.key(name).refuse(None, f"is no class.\n  {expected}{hint}")
        elif classes.index(name) in weights.indices:
            here.key(name).refuse(None, f"is given twice: it is class {classes.index(name)}.")
    if not _any_counts(weights, classes):
        here.refuse(None, "every class has the weight 0.\n  Expected one above 0.")


def _any_counts(weights: ClassWeights, classes: Sequence[str]) -> bool:
    """Whether some class counts; one without a weight counts 1."""
    given = [*weights.indices.values(), *weights.names.values()]
    return len(given) < len(classes) or any(given)


def _units(draft: Draft, classes: tuple[str, ...], at: At) -> None:
    """The last layer's units, where it has one unit a class."""
    head, count = draft.head, len(classes)
    if head is None or head.class_name != "Dense" or draft.loss is None:
        return
    units = head.arguments.get("units")
    one_each = losses.LABEL_MODES[draft.loss.class_name] != "binary"
    # One unit is refused whatever the classes are.
    if one_each and isinstance(units, int) and units not in (1, count):
        at.place_of(head).key("units").refuse(
            None, f'{units} outputs for {count} classes.\n  Expected {count}, or "{CLASSES}".'
        )


def _compiled(draft: Draft, count: int, at: At) -> None:
    """What the loss and the metrics say of the number of classes, or of the model's outputs."""
    if draft.loss is None:
        return
    _ignored_class(draft.loss, count, at)
    outputs = 1 if losses.LABEL_MODES[draft.loss.class_name] == "binary" else count
    for metric in draft.metrics:
        here = at.place_of(metric)
        if metric.class_name in _TOP:
            _among_the_likeliest(metric, count, here)
        elif metric.class_name == "AUC":
            _labels(metric, outputs, count, here)
        elif metric.class_name in _COUNTING:
            _one_class(metric, outputs, count, here)


_TOP = ("sparse_top_k_categorical_accuracy", "SparseTopKCategoricalAccuracy")
_COUNTING = ("Precision", "Recall")
# Of `keras.metrics.sparse_top_k_categorical_accuracy`.
_DEFAULT_K = 5


def _number(value: Value, count: int) -> int | None:
    """An integer argument, with "classes" as the number it stands for."""
    if value == CLASSES:
        return count
    return value if isinstance(value, int) else None


def _ignored_class(loss: KerasObject, count: int, at: At) -> None:
    ignored = _number(loss.arguments.get("ignore_class"), count)
    if ignored is not None and not 0 <= ignored < count:
        at.place_of(loss).key("ignore_class").refuse(
            None,
            f"{ignored} is none of the {count} classes, so nothing is ignored.\n"
            f"  Expected an integer from 0 to {count - 1}, or null.",
        )


def _among_the_likeliest(metric: KerasObject, count: int, here: At) -> None:
    most = _number(metric.arguments.get("k", _DEFAULT_K), count)
    if most is not None and most > count:
        here.key("k").refuse(
            None,
            f"looks among the {most} likeliest of {count} classes, which is always right.\n"
            f"  Expected SparseTopKCategoricalAccuracy with a k below {count}.",
        )


def _one_class(metric: KerasObject, outputs: int, count: int, here: At) -> None:
    class_id = _number(metric.arguments.get("class_id"), count)
    if class_id is not None and class_id >= outputs:
        right = "0" if outputs == 1 else f"an integer from 0 to {outputs - 1}"
        here.key("class_id").refuse(
            None, f"{class_id} with {_outputs(outputs)}.\n  Expected {right}, or null."
        )
    top_k = _number(metric.arguments.get("top_k"), count)
    if top_k is not None and top_k > outputs:
        here.key("top_k").refuse(
            None, f"{top_k} with {_outputs(outputs)}.\n  Expected at most {outputs}, or null."
        )


def _labels(metric: KerasObject, outputs: int, count: int, here: At) -> None:
    labels = _number(metric.arguments.get("num_labels"), count)
    if labels is not None and labels != outputs:
        here.key("num_labels").refuse(
            None, f"{labels} with {_outputs(outputs)}.\n  Expected {outputs}, or null."
        )
    weights = metric.arguments.get("label_weights")
    if isinstance(weights, tuple) and len(weights) != outputs:
        here.key("label_weights").refuse(
            None,
            f"a list of {len(weights)} with {_outputs(outputs)}.\n"
            "  Expected a number for each output.",
        )


def _outputs(count: int) -> str:
    return "a model of one output" if count == 1 else f"a model of {count} outputs"
