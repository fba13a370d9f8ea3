"""A spec against the classes of its data.

The classes are known while a spec is read if it names them in `data.class_names`; else once its
training folder was listed.
"""

from collections.abc import Sequence

from fornada.spec.catalogue import losses
from fornada.spec.draft import Draft
from fornada.spec.kinds.reading import At, Reading
from fornada.spec.problems import Problem
from fornada.spec.spec import Spec
from fornada.spec.values import CLASSES, ClassWeights, is_index
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
    at = spec.at.afresh()
    draft = Draft(
        data=vars(spec.data),
        model=spec.model,
        optimizer=spec.compile.optimizer,
        loss=spec.compile.loss,
        metrics=spec.compile.metrics,
        fit=vars(spec.fit),
        callbacks=spec.callbacks,
    )
    check(draft, tuple(classes), at)
    return at.reading


def check(draft: Draft, classes: tuple[str, ...], at: At) -> None:
    """Record everything that does not fit these classes."""
    weights = draft.fit.get("class_weight")
    if isinstance(weights, ClassWeights):
        _class_weight(weights, classes, at.key("fit").key("class_weight"))
    _units(draft, classes, at)


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
        at.of(head).key("units").refuse(
            None, f'{units} outputs for {count} classes.\n  Expected {count}, or "{CLASSES}".'
        )
