"""The files that ModelCheckpoints write: names with Keras's placeholders, and rules for them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import Formatter

from fornada.spec import monitors
from fornada.spec.draft import Draft
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.reading import At
from fornada.spec.source.nodes import Json, Node, Scalar
from fornada.spec.values import KerasObject
from fornada.spec.wording import did_you_mean, listed

CHECKPOINT = "ModelCheckpoint"
# The best model's file: the default of `filepath`, and always kept.
BEST = "best.keras"
# Other files that an attempt keeps by itself, and all names that no folder in it may have.
_TAKEN = frozenset({BEST, "last.keras", "best.weights.h5"})
_FOLDERS = _TAKEN | {
    "environment.json",
    "evaluation.json",
    "history.csv",
    "spec.yaml",
    "state",
    "tensorboard",
    "train.log",
}
# How no folder's name may end: it would be the file of another checkpoint.
_ENDINGS = (".keras", ".h5")
# A best model's name until a better one is on record; and how files begin that are being written.
_LASTING = re.compile(r"best-\d+\.keras")
_WRITING = "writing."
# Characters of a whole name: what file systems take, with room for what placeholders bring.
_LONGEST = 200
# Files that one checkpoint may leave, each of a size of the model: all belong to each state.
MOST_FILES = 1_000
# How a placeholder may be written: no width at which a name outgrows a file system's.
_FORMAT = re.compile(r"[<>=^]?[-+ ]?0?[0-9]{0,2}(\.[0-9]{1,2})?[deEfFgGn%]?", re.ASCII)
# Any epoch and any value: names are tried with these.
_EPOCH, _VALUE = 1, 0.5


def named(callback: KerasObject) -> bool:
    """Whether a callback is a ModelCheckpoint with a file of its own."""
    return callback.class_name == CHECKPOINT and callback.arguments["filepath"] != BEST


def placeholders(template: str) -> list[str]:
    """The names in braces, as `epoch` and `val_loss` of `{epoch:02d}-{val_loss:.2f}.keras`.

    Raises:
        ValueError: it is no format string of Python, or asks for more than names.
    """
    names = []
    for _, name, spec, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or conversion:
            raise ValueError(f"{{{name}}} is more than a name")
        if not _FORMAT.fullmatch(spec or ""):
            raise ValueError(f"{{{name}:{spec}}} is no format of a number, as {{epoch:02d}} is")
        names.append(name)
    return names


def example(template: str) -> str:
    """The file's name for some epoch.

    Raises:
        ValueError: a placeholder cannot be written so, as `{val_loss:02d}`.
    """
    values = {name: _EPOCH if name == "epoch" else _VALUE for name in placeholders(template)}
    try:
        return template.format(**values)
    except ValueError:
        wrong = "a whole number's format, such as 02d, beside a value such as val_loss"
        raise ValueError(f"{template} has {wrong}") from None


def is_file_name(template: str) -> bool:
    """Whether a template gives names inside an attempt's folder."""
    try:
        name = example(template)
    except ValueError:
        return False
    parts = name.split("/")
    good = all(part not in ("", ".", "..") and not part.startswith("~") for part in parts)
    return good and len(template) <= _LONGEST and name.isprintable() and "\\" not in name


@dataclass(frozen=True)
class CheckpointFile(Kind):
    """The name of a checkpoint's file in the attempt's folder."""

    words = (
        "a file in the job's folder, as model.keras or checkpoints/{epoch:02d}-{val_loss:.2f}.keras"
    )

    def parse(self, node: Node, at: At) -> str:
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, str):
            raise self.wrong(node, at)
        try:
            example(value)
        except ValueError as error:
            raise self.refuse(node, at, f"{error}.") from None
        if not is_file_name(value):
            raise self.wrong(node, at)
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "minLength": 1, "maxLength": _LONGEST}


def check(draft: Draft, at: At) -> None:
    """Record what is wrong with the files of a spec's checkpoints."""
    checkpoints = [item for item in draft.callbacks if item.class_name == CHECKPOINT]
    files: list[str] = []
    for item in checkpoints:
        name, here = item.arguments.get("filepath"), at.of(item).key("filepath")
        if not isinstance(name, str):
            continue
        if example(name) in files:
            here.refuse(
                None,
                f"{name} is the file of an earlier {CHECKPOINT}.\n"
                f"  Expected a name of its own, as {_suggested(item)}.",
            )
        elif name == BEST:
            _best(item, at, first=item is checkpoints[0])
        else:
            _own(item, name, here)
            _placeholders(item, name, draft, here)
        files.append(example(name))


def _best(item: KerasObject, at: At, *, first: bool) -> None:
    here = at.of(item)
    if not first:
        here.key("filepath").refuse(
            None,
            f"the first {CHECKPOINT} decides about {BEST}.\n"
            f"  Expected a name of its own, as {_suggested(item)}.",
        )
    if item.arguments.get("initial_value_threshold") is not None:
        here.key("initial_value_threshold").refuse(
            None,
            f"has no effect on {BEST}, which is always kept.\n"
            f"  Expected a filepath beside it, as {_suggested(item)}.",
        )


def _own(item: KerasObject, name: str, here: At) -> None:
    ending = ".weights.h5" if item.arguments.get("save_weights_only") else ".keras"
    if not name.endswith(ending):
        here.refuse(
            None,
            f"{name} does not end in {ending}.\n"
            f"  Expected {ending} with save_weights_only "
            f"{str(ending != '.keras').lower()}, as in Keras.",
        )
    if any(part.endswith(_ENDINGS) for part in example(name).split("/")[:-1]):
        here.refuse(
            None, f"a folder of {name} ends as a model's file does.\n  Expected another folder."
        )
    elif is_the_jobs(example(name)):
        here.refuse(
            None, f"the job itself has files of the name {name}.\n  Expected another, as my-{name}."
        )


def is_the_jobs(name: str) -> bool:
    """Whether the job itself has, or may have, a file or folder of this name."""
    first, *below = name.split("/")
    if any(part.startswith(_WRITING) for part in (first, *below)):
        return True
    return first in (_FOLDERS if below else _TAKEN) or bool(_LASTING.fullmatch(first))


def _placeholders(item: KerasObject, name: str, draft: Draft, here: At) -> None:
    names = placeholders(name)
    known = ("epoch", *_logged_before(item, draft))
    for wrong in (one for one in names if one not in known):
        here.refuse(
            None,
            f"{{{wrong}}} is never produced"
            f"{' where this callback stands' if wrong == monitors.LEARNING_RATE else ''}.\n"
            f"  Expected one of: {listed(known)}.{did_you_mean(wrong, known)}",
        )
    epochs = draft.fit.get("epochs")
    if names and isinstance(epochs, int) and epochs > MOST_FILES:
        here.refuse(
            None,
            f"{name} may leave {epochs:,} files.\n"
            f"  Expected a name without placeholders, or at most {MOST_FILES:,} epochs.",
        )


def _logged_before(item: KerasObject, draft: Draft) -> Sequence[str]:
    """What the logs hold when a callback is called: those before it may have added to them."""
    before: Iterable[KerasObject] = draft.callbacks[: _position(item, draft.callbacks)]
    return monitors.produces(draft.metrics, tuple(before), validates=draft.validates)


def _position(item: KerasObject, items: Sequence[KerasObject]) -> int:
    return next(place for place, one in enumerate(items) if one is item)


def _suggested(item: KerasObject) -> str:
    monitor = item.arguments.get("monitor")
    ending = ".weights.h5" if item.arguments.get("save_weights_only") else ".keras"
    return f"{monitor if isinstance(monitor, str) else 'second'}{ending}"
