"""The names of files that ModelCheckpoints write, with Keras's placeholders."""

import re
from dataclasses import dataclass
from string import Formatter

from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.reading import At
from fornada.spec.source.nodes import Json, Node, Scalar
from fornada.spec.values import KerasObject

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
# A best model's name until a better one is on record; and how files begin that are being written.
_LASTING = re.compile(r"best-\d+\.keras")
_WRITING = "writing."
# Characters of a whole name: what file systems take, with room for what placeholders bring.
_LONGEST = 200
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


def is_the_jobs(name: str) -> bool:
    """Whether the job itself has, or may have, a file or folder of this name."""
    first, *below = name.split("/")
    if any(part.startswith(_WRITING) for part in (first, *below)):
        return True
    return first in (_FOLDERS if below else _TAKEN) or bool(_LASTING.fullmatch(first))
