"""A spec against the classes of its data.

The classes are known while a spec is read if it names them in `data.class_names`; else once its
training folder was listed.
"""

from collections.abc import Sequence

from fornada.spec.catalogue import losses
from fornada.spec.draft import Draft
from fornada.spec.kinds.reading import At
from fornada.spec.problems import Problem
from fornada.spec.spec import Spec
from fornada.spec.values import CLASSES
from fornada.spec.wording import did_you_mean, listed


def problems(spec: Spec, classes: Sequence[str]) -> list[Problem]:
    """What of a spec does not fit the classes of its data.

    Args:
        spec: as it was read: with "classes", and not with their number.
        classes: names, in the order of their labels.
    """
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
    return at.reading.problems


def check(draft: Draft, classes: tuple[str, ...], at: At) -> None:
    """Record everything that does not fit these classes."""
    for key in draft.fit.get("class_weight") or ():
        _weighted_class(key, draft, classes, at.key("fit").key("class_weight").key(key))
    _units(draft, classes, at)


def _weighted_class(key: str, draft: Draft, names: tuple[str, ...], here: At) -> None:
    index = int(key) if key.isascii() and key.isdigit() and len(key) < 9 else None
    if key in names:
        place = names.index(key)
        if index is not None and index != place and index < len(names):
            here.refuse(None, f'is class {place} by its name, and "{names[index]}" by its index.')
        elif index is None and str(place) in draft.fit["class_weight"]:
            here.refuse(None, f"is given twice: it is class {place}.")
    elif index is None or index >= len(names):
        here.refuse(
            None,
            f"is no class.\n  Expected an index from 0 to {len(names) - 1}, or one of: "
            f"{listed(names)}.{did_you_mean(key, names)}",
        )


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
