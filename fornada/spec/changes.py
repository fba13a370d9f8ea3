"""Changes between versions in what a spec means.

A spec that a change applies to has another hash than before the change. So results that were
trained with the old meaning are not taken for the new one, and old training states are not
continued.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fornada.spec.kinds.checkpoint_file import BEST, CHECKPOINT, is_reserved, writes_own_file
from fornada.spec.kinds.text import is_label
from fornada.spec.values import ClassWeights, is_index

if TYPE_CHECKING:
    from fornada.spec.spec import Spec


@dataclass(frozen=True)
class Change:
    """One change of meaning.

    Attributes:
        name: enters the hash, so it must never change.
        version: the first version with the new meaning.
        what: the new meaning, and what the earlier one was.
        applies: whether a spec uses what changed.
    """

    name: str
    version: str
    what: str
    applies: Callable[["Spec"], bool]


def _has_class_indices(spec: "Spec") -> bool:
    weights = spec.fit.class_weight
    return isinstance(weights, ClassWeights) and not weights.only_names


def _averages_weights(spec: "Spec") -> bool:
    return bool(spec.compile.optimizer.arguments.get("use_ema"))


def _writes_checkpoints(spec: "Spec") -> bool:
    return any(map(writes_own_file, spec.callbacks))


CHANGES = (
    Change(
        "class_weight",
        "0.2.0",
        "In `fit.class_weight` an integer is the index of a class, as in Keras, and a number in "
        "quotes is the name of a class. Before, an integer meant the class with this name if there "
        "was one.",
        _has_class_indices,
    ),
    Change(
        "use_ema",
        "0.2.0",
        "With `use_ema: true` `last.keras` holds the averaged weights, as the model does after "
        "Keras's `fit`. Before, no file held them.",
        _averages_weights,
    ),
    Change(
        "checkpoint_files",
        "0.2.0",
        "Every `ModelCheckpoint` with a `filepath` writes that file. Before, `filepath` had no "
        "effect, and only the first `ModelCheckpoint` was used, to choose the model in "
        "`best.keras`.",
        _writes_checkpoints,
    ),
)


def of(spec: "Spec") -> list[Change]:
    """The changes that apply to a spec."""
    return [change for change in CHANGES if change.applies(spec)]


def undo(document: dict[str, Any], spec: "Spec") -> None:
    """Change an effective document to what it was before all changes, for `earlier_hash`."""
    weights = spec.fit.class_weight
    if isinstance(weights, ClassWeights):
        indices = {str(index): weight for index, weight in weights.indices.items()}
        document["fit"]["class_weight"] = {**indices, **weights.names}


def upgrade(document: Any) -> tuple[Any, list[str]]:
    """Convert a document that an earlier version recorded to the form of this version.

    Args:
        document: of a job; a document of this version stays as it is.
    Returns:
        The document, and one sentence for each part that now means something else.
    """
    notes: list[str] = []
    if not isinstance(document, Mapping):
        return document, notes
    fit, callbacks = document.get("fit"), document.get("callbacks")
    if isinstance(fit, Mapping):
        document = {**document, "fit": _with_indices(fit, notes)}
    if isinstance(callbacks, list):
        document = {**document, "callbacks": _with_files(callbacks, notes)}
    return document, notes


def _with_indices(fit: Mapping[str, Any], notes: list[str]) -> Mapping[str, Any]:
    """The `fit` section with class weights in two groups, indices and names."""
    weights = fit.get("class_weight")
    if not isinstance(weights, Mapping) or any(isinstance(w, Mapping) for w in weights.values()):
        return fit
    indices = {key: weight for key, weight in weights.items() if is_index(str(key))}
    if not indices:
        return fit
    names = {key: weight for key, weight in weights.items() if key not in indices}
    keys = ", ".join(map(str, indices))
    notes.append(
        f"fit.class_weight: {keys} {'is an index' if len(indices) == 1 else 'are indices'} of "
        "classes, as in Keras. An earlier version recorded the job; it took a number for the name "
        "of a class if there was a class with this name."
    )
    return {**fit, "class_weight": {"index": indices, "name": names}}


def _with_files(callbacks: list[Any], notes: list[str]) -> list[Any]:
    """The callbacks, in which every ModelCheckpoint has a file that this version accepts.

    In earlier versions `filepath` had no effect, so any name was accepted.
    """
    upgraded: list[Any] = []
    # A list and not a set: a document that no version accepted may have unhashable values here.
    used: list[object] = []
    for position, item in enumerate(callbacks):
        arguments = item.get(CHECKPOINT) if isinstance(item, Mapping) else None
        if not isinstance(arguments, Mapping):
            upgraded.append(item)
            continue
        name = arguments.get("filepath", BEST)
        weights = arguments.get("save_weights_only") is True
        changed = {**arguments, "filepath": _file(name, used, position, weights=weights)}
        if changed["filepath"] == BEST and changed.get("initial_value_threshold") is not None:
            changed["initial_value_threshold"] = None
        if changed != {**arguments, "filepath": name}:
            notes.append(
                f"callbacks.{CHECKPOINT}: an earlier version recorded the job; there filepath and "
                f"initial_value_threshold had no effect. This version writes "
                f"{changed['filepath']}."
            )
        used.append(changed["filepath"])
        upgraded.append({CHECKPOINT: changed})
    return upgraded


def _file(name: object, used: list[object], position: int, *, weights: bool) -> object:
    """A file name for a ModelCheckpoint that this version accepts.

    A name that no version accepted is returned unchanged, and the spec is then refused.

    Args:
        name: the `filepath` in the document.
        used: the files of earlier ModelCheckpoints.
        position: of the callback in its list, for a new name.
        weights: whether it saves only weights.
    """
    if not isinstance(name, str) or not is_label(name):
        return name
    ending = ".weights.h5" if weights else ".keras"
    if name == BEST and not used:
        return name
    if name not in used and name.endswith(ending) and not is_reserved(name):
        return name
    return f"checkpoint-{position}{ending}" if used else BEST
