"""File names that a ModelCheckpoint may write. They may hold Keras's placeholders."""

import re
from dataclasses import dataclass
from string import Formatter

from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.reading import At
from fornada.spec.source.nodes import Json, Node, Scalar
from fornada.spec.values import KerasObject

CHECKPOINT = "ModelCheckpoint"
# The file of the best model. It is the default of `filepath`, and an attempt always keeps it.
BEST = "best.keras"
# Model files that an attempt writes itself: a checkpoint may not overwrite them.
_RESERVED_FILES = frozenset({BEST, "last.keras", "best.weights.h5"})
# All files and folders that an attempt writes itself: a checkpoint may not put files below them.
_RESERVED_FOLDERS = _RESERVED_FILES | {
    "environment.json",
    "evaluation.json",
    "history.csv",
    "spec.yaml",
    "state",
    "tensorboard",
    "train.log",
}
# Name of a best model's file until the database records a better model.
_BEST_MODEL = re.compile(r"best-\d+\.keras")
# Files that are being written have names with this prefix.
_WRITING = "writing."
# Longest template, in characters: a file system takes 255 bytes, and values may be longer than
# their placeholders.
_LONGEST = 200
# Allowed format of a placeholder. Its width has at most two digits, so that a name stays shorter
# than a file system's limit.
_FORMAT = re.compile(r"[<>=^]?[-+ ]?0?[0-9]{0,2}(\.[0-9]{1,2})?[deEfFgGn%]?", re.ASCII)
# Sample values: a template is checked by formatting it with these.
_EPOCH, _VALUE = 1, 0.5


def writes_own_file(callback: KerasObject) -> bool:
    """Whether a callback is a ModelCheckpoint that writes another file than `best.keras`."""
    return callback.class_name == CHECKPOINT and callback.arguments["filepath"] != BEST


def placeholders(template: str) -> list[str]:
    """Names in braces: `epoch` and `val_loss` for `{epoch:02d}-{val_loss:.2f}.keras`.

    Raises:
        ValueError: the template is not a Python format string, or a placeholder is not a plain
            name with a number's format.
    """
    names = []
    for _, name, spec, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or conversion:
            raise ValueError(f"{{{name}}} is more than a name")
        if not _FORMAT.fullmatch(spec or ""):
            raise ValueError(
                f"{{{name}:{spec}}} does not format a number; {{epoch:02d}}, for example, does"
            )
        names.append(name)
    return names


def example(template: str) -> str:
    """The file's name for a sample epoch.

    Raises:
        ValueError: a format does not fit its value, such as `{val_loss:02d}`.
    """
    values = {name: _EPOCH if name == "epoch" else _VALUE for name in placeholders(template)}
    try:
        return template.format(**values)
    except ValueError:
        wrong = "a format for integers, such as 02d, for a value with decimals, such as val_loss"
        raise ValueError(f"{template} uses {wrong}") from None


def is_file_name(template: str) -> bool:
    """Whether the names that a template gives are valid and stay inside the attempt's folder."""
    try:
        name = example(template)
    except ValueError:
        return False
    parts = name.split("/")
    good = all(part not in ("", ".", "..") and not part.startswith("~") for part in parts)
    return good and len(template) <= _LONGEST and name.isprintable() and "\\" not in name


@dataclass(frozen=True)
class CheckpointFile(Kind):
    """The name of a checkpoint's file, relative to the attempt's folder."""

    words = (
        "a file in the job's folder, such as model.keras or "
        "checkpoints/{epoch:02d}-{val_loss:.2f}.keras"
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


def is_reserved(name: str) -> bool:
    """Whether the attempt itself may write a file or folder of this name."""
    first, *below = name.split("/")
    if any(part.startswith(_WRITING) for part in (first, *below)):
        return True
    reserved = _RESERVED_FOLDERS if below else _RESERVED_FILES
    return first in reserved or bool(_BEST_MODEL.fullmatch(first))
