"""Specs that try what no spec may do, each with the code that it must be refused with.

One row a line of the table "What a spec may not do"; shared by the tests of the spec's reader, of
the command line and of the worker.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fornada.spec.source.limits import MAX_BYTES

Document = dict[str, Any]

GOOD: Document = {
    "name": "good",
    "data": {"train": "Data/Train", "image_size": [8, 8], "batch_size": 8},
    "model": ["Flatten", {"Dense": {"units": "classes", "activation": "softmax"}}],
    "compile": {"optimizer": "Adam", "loss": "SparseCategoricalCrossentropy"},
    "fit": {"epochs": 1},
}
# As YAML, for what JSON cannot say; `{}` is where a row puts itself.
TEXT = """\
name: good
data: {{train: Data/Train, image_size: [8, 8], batch_size: 8}}
model: [Flatten, Dense: {{units: classes, activation: softmax}}]
compile: {{optimizer: Adam, loss: SparseCategoricalCrossentropy}}
fit: {{epochs: 1}}
{}
"""


@dataclass(frozen=True)
class Row:
    """One way to be hostile.

    Attributes:
        code: what it is refused with.
        document: the spec as JSON; None where only YAML can say it.
        text: the spec as YAML; None where the document says it.
    """

    code: str
    document: Document | None = None
    text: str | None = None


def changed(*place: str | int, to: object) -> Document:
    """The good document with one node replaced or added."""
    document = copy.deepcopy(GOOD)
    node: Any = document
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = to
    return document


def model(*layers: object) -> Document:
    """The good document with other layers before its last."""
    return changed("model", to=[*layers, GOOD["model"][-1]])


def _nested(levels: int) -> Document:
    inner: Any = 1
    for _ in range(levels):
        inner = {"a": inner}
    return changed("tags", to=inner)


def _laughs() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    return "\n".join(lines)


_DENSE = "Dense"
_END = GOOD["model"]
ROWS: dict[str, Row] = {
    # Over 256 KiB, deeper than 32, YAML tags, anchors, duplicate keys, NaN or infinity.
    "too large": Row("SPEC_SYNTAX", changed("tags", to={"a": "x" * MAX_BYTES})),
    "too deep": Row("SPEC_SYNTAX", _nested(40)),
    "deeper than a stack": Row("SPEC_SYNTAX", text=TEXT.format("tags: " + "[" * 100_000)),
    "too many values": Row("SPEC_SYNTAX", changed("tags", to=[0] * 20_000)),
    "a tag that runs code": Row(
        "SPEC_SYNTAX", text=TEXT.format("tags: !!python/object/apply:os.system [id]")
    ),
    "a tag that names a module": Row(
        "SPEC_SYNTAX", text=TEXT.format("tags: !!python/name:os.system")
    ),
    "an anchor": Row("SPEC_SYNTAX", text=TEXT.format("tags: &a {x: y}")),
    "a billion laughs": Row("SPEC_SYNTAX", text=TEXT.format(_laughs())),
    "a merge key": Row("SPEC_SYNTAX", text=TEXT.format("tags: {<<: *x}")),
    "a key given twice": Row("SPEC_SYNTAX", text=TEXT.format("fit: {epochs: 2}")),
    "no number": Row("SPEC_SYNTAX", text=TEXT.format("retry: {attempts: .nan}")),
    "infinity": Row("SPEC_SYNTAX", text=TEXT.format("retry: {attempts: .inf}")),
    "an escape for the terminal": Row("SPEC_SYNTAX", changed("name", to="\x1b[2J")),
    # Unknown field, layer or argument; anything that could run code or name a module.
    "an unknown field": Row("SPEC_INVALID", changed("shell", to="touch x")),
    "an unknown layer": Row("SPEC_INVALID", model({"Exec": {}})),
    "an unknown argument": Row("SPEC_INVALID", model({_DENSE: {"units": 1, "code": "x"}})),
    "a Lambda": Row("SPEC_INVALID", model({"Lambda": {"function": "lambda x: x"}})),
    "a module": Row("SPEC_INVALID", model({"os.system": {"command": "id"}})),
    "a layer by its module": Row("SPEC_INVALID", model({"keras.layers.Dense": {"units": 1}})),
    "a function of Keras as an activation": Row(
        "SPEC_INVALID",
        model({_DENSE: {"units": 1, "activation": "keras.utils.set_random_seed"}}),
    ),
    "a serialized object of Keras": Row(
        "SPEC_INVALID",
        model({"module": "builtins", "class_name": "eval", "config": {}, "registered_name": None}),
    ),
    "a loss by its module": Row(
        "SPEC_INVALID", changed("compile", to={"optimizer": "Adam", "loss": "os.system"})
    ),
    "a callback that runs code": Row(
        "SPEC_INVALID", changed("callbacks", to=[{"LambdaCallback": {"on_epoch_end": "x"}}])
    ),
    "a callback that writes where it likes": Row(
        "SPEC_INVALID", changed("callbacks", to=[{"CSVLogger": {"filename": "/tmp/x"}}])
    ),
    "a checkpoint with a path": Row(
        "SPEC_INVALID",
        changed(
            "callbacks", to=[{"ModelCheckpoint": {"monitor": "loss", "filepath": "/tmp/x.keras"}}]
        ),
    ),
    "a number that no column holds": Row("SPEC_INVALID", model({_DENSE: {"units": 10**60}})),
    "images of 10^6 by 10^6": Row("SPEC_INVALID", changed("data", "image_size", to=10**6)),
    # Names outside [A-Za-z0-9_.-]{1,64} or with `..`.
    "a name with a slash": Row("SPEC_INVALID", changed("name", to="a/b")),
    "a name that climbs": Row("SPEC_INVALID", changed("name", to="a..b")),
    "a name that is too long": Row("SPEC_INVALID", changed("name", to="a" * 65)),
    "a queue that is a path": Row("SPEC_INVALID", changed("resources", to={"queue": "../x"})),
    "a layer's name that is a path": Row(
        "SPEC_INVALID", model({_DENSE: {"units": 1, "name": "../x"}})
    ),
    "a class that is a path": Row(
        "SPEC_INVALID", changed("data", "class_names", to=["../../etc", "b"])
    ),
    # Parameters or memory over the limit.
    "a Dense of 10^12": Row("RESOURCE_LIMIT", model("Flatten", {_DENSE: {"units": 10**12}})),
    "a Dense of 10^15": Row("RESOURCE_LIMIT", model("Flatten", {_DENSE: {"units": 10**15}})),
    "a Conv2D of 10^12": Row(
        "RESOURCE_LIMIT", model({"Conv2D": {"filters": 10**12, "kernel_size": 3}}, "Flatten")
    ),
    "a kernel of 10^6": Row(
        "RESOURCE_LIMIT",
        model({"Conv2D": {"filters": 8, "kernel_size": 10**6, "padding": "same"}}, "Flatten"),
    ),
    "many large layers": Row(
        "RESOURCE_LIMIT", model("Flatten", *[{_DENSE: {"units": 10_000}}] * 30)
    ),
    "a margin of 10^9": Row(
        "RESOURCE_LIMIT", model({"ZeroPadding2D": {"padding": 10**9}}, "Flatten")
    ),
    "a convolution of large images": Row(
        "RESOURCE_LIMIT",
        changed("data", "image_size", to=[8192, 8192])
        | {"model": [{"Conv2D": {"filters": 64, "kernel_size": 3, "padding": "same"}}, *_END]},
    ),
    # A path outside the data root, `..`, a vocabulary path. Links: see the tests.
    "a path outside": Row("PATH_REFUSED", changed("data", "train", to="/etc")),
    "a path that climbs": Row("PATH_REFUSED", changed("data", "train", to="Data/../../etc")),
    "a path of the home": Row("PATH_REFUSED", changed("data", "test", to="~/secrets")),
    "a validation that climbs": Row(
        "PATH_REFUSED", changed("data", "validation", to={"folder": "../..", "split": 0.5})
    ),
    "a vocabulary": Row("PATH_REFUSED", model({"StringLookup": {"vocabulary": "/etc/passwd"}})),
    # A model file, .h5 or pickle from outside our own artifacts.
    "a model file": Row("MODEL_UNTRUSTED", changed("model", to="best.keras")),
    "weights": Row("MODEL_UNTRUSTED", model("/tmp/weights.h5")),
    "a pickle": Row("MODEL_UNTRUSTED", changed("model", to=[{"model.pkl": {"trusted": True}}])),
}
DOCUMENTS = {name: row for name, row in ROWS.items() if row.document is not None}


def write(row: Row, file: Path, as_text: Callable[[Document], str]) -> Path:
    """The row as a file that a person could submit."""
    file.write_text(row.text if row.text is not None else as_text(row.document or {}))
    return file
