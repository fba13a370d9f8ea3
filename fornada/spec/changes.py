"""What a spec means now and did not mean in an earlier version.

A spec that a change applies to has another hash than it had: what was trained under the old meaning
answers for nothing that is asked under the new one, and its states are not continued.
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
        name: what the hash knows it by.
        version: the first one with the new meaning.
        what: what changed, in one sentence.
        applies: whether a spec has what changed.
    """

    name: str
    version: str
    what: str
    applies: Callable[["Spec"], bool]


def _numbered(spec: "Spec") -> bool:
    weights = spec.fit.class_weight
    return isinstance(weights, ClassWeights) and not weights.plain


def _averaged(spec: "Spec") -> bool:
    return bool(spec.compile.optimizer.arguments.get("use_ema"))


def _named(spec: "Spec") -> bool:
    return any(map(writes_own_file, spec.callbacks))


CHANGES = (
    Change(
        "class_weight",
        "0.2.0",
        "In `fit.class_weight` an integer is the index of a class, as in Keras, and a number in "
        "quotes is a class's name. Before, a folder of that name came first.",
        _numbered,
    ),
    Change(
        "use_ema",
        "0.2.0",
        "With `use_ema: true` `last.keras` holds the averaged weights, as the model does after "
        "Keras's `fit`. Before, the averages were lost.",
        _averaged,
    ),
    Change(
        "checkpoint_files",
        "0.2.0",
        "A `ModelCheckpoint` with a `filepath` writes that file, whichever of several it is. "
        "Before, only the first one decided about `best.keras`, and `filepath` had no effect.",
        _named,
    ),
)


def of(spec: "Spec") -> list[Change]:
    """The changes that apply to a spec."""
    return [change for change in CHANGES if change.applies(spec)]


def undo(document: dict[str, Any], spec: "Spec") -> None:
    """Make an effective document what it was before all changes."""
    weights = spec.fit.class_weight
    if isinstance(weights, ClassWeights):
        indices = {str(index): weight for index, weight in weights.indices.items()}
        document["fit"]["class_weight"] = {**indices, **weights.names}


def modern(document: Any) -> tuple[Any, list[str]]:
    """A recorded document in the form of this version, and what that decided, a sentence each.

    Args:
        document: as an earlier version recorded it; anything else stays as it is.
    """
    told: list[str] = []
    if not isinstance(document, Mapping):
        return document, told
    fit, callbacks = document.get("fit"), document.get("callbacks")
    if isinstance(fit, Mapping):
        document = {**document, "fit": _with_indices(fit, told)}
    if isinstance(callbacks, list):
        document = {**document, "callbacks": _with_files(callbacks, told)}
    return document, told


def _with_indices(fit: Mapping[str, Any], told: list[str]) -> Mapping[str, Any]:
    weights = fit.get("class_weight")
    if not isinstance(weights, Mapping) or any(isinstance(w, Mapping) for w in weights.values()):
        return fit
    indices = {key: weight for key, weight in weights.items() if is_index(str(key))}
    if not indices:
        return fit
    names = {key: weight for key, weight in weights.items() if key not in indices}
    keys = ", ".join(map(str, indices))
    told.append(
        f"fit.class_weight: {keys} {'is an index' if len(indices) == 1 else 'are indices'} of "
        "classes, as in Keras; an earlier version recorded the job, which took the name of a "
        "folder first."
    )
    return {**fit, "class_weight": {"index": indices, "name": names}}


def _with_files(callbacks: list[Any], told: list[str]) -> list[Any]:
    """Each checkpoint with a file that it may write; those of an earlier version wrote none."""
    made: list[Any] = []
    # A list: a document that no version accepted may have anything here.
    taken: list[object] = []
    for place, item in enumerate(callbacks):
        arguments = item.get(CHECKPOINT) if isinstance(item, Mapping) else None
        if not isinstance(arguments, Mapping):
            made.append(item)
            continue
        name = arguments.get("filepath", BEST)
        weights = arguments.get("save_weights_only") is True
        kept = {**arguments, "filepath": _file(name, taken, place, weights=weights)}
        if kept["filepath"] == BEST and kept.get("initial_value_threshold") is not None:
            kept["initial_value_threshold"] = None
        if kept != {**arguments, "filepath": name}:
            told.append(
                f"callbacks.{CHECKPOINT}: an earlier version recorded the job, in which filepath "
                f"and initial_value_threshold had no effect; this one writes {kept['filepath']}."
            )
        taken.append(kept["filepath"])
        made.append({CHECKPOINT: kept})
    return made


def _file(name: object, taken: list[object], place: int, *, weights: bool) -> object:
    """The file of a checkpoint; what no version accepted stays, and is refused."""
    if not isinstance(name, str) or not is_label(name):
        return name
    ending = ".weights.h5" if weights else ".keras"
    if name == BEST and not taken:
        return name
    if name not in taken and name.endswith(ending) and not is_reserved(name):
        return name
    return f"checkpoint-{place}{ending}" if taken else BEST
