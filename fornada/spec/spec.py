"""A checked spec: everything that one job trains."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from fornada.spec import changes, monitors
from fornada.spec.datafolder import DataFolder
from fornada.spec.kinds.fields import Fields
from fornada.spec.kinds.reading import At
from fornada.spec.monitors import Monitor
from fornada.spec.problems import Problem
from fornada.spec.sections import COMPILE, DATA, FIT, TOP
from fornada.spec.source.nodes import Json
from fornada.spec.values import ClassWeights, KerasObject, Value, to_json

Role = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Data:
    """The images, with the names of `keras.utils.image_dataset_from_directory`.

    Attributes:
        image_size: height and width, in pixels.
    """

    train: DataFolder
    test: DataFolder | None
    validation: DataFolder | None
    validation_split: float | None
    image_size: tuple[int, int]
    color_mode: str
    batch_size: int
    shuffle: bool
    seed: int
    label_mode: str
    class_names: tuple[str, ...] | None
    interpolation: str
    crop_to_aspect_ratio: bool
    pack: Literal["exact", "uint8", "off"]

    @property
    def folders(self) -> dict[Role, DataFolder]:
        """The folders that the spec gives, by the set that each is for; train comes first."""
        given: dict[Role, DataFolder | None] = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
        }
        return {role: folder for role, folder in given.items() if folder is not None}

    def document(self) -> dict[str, Json]:
        """The section as JSON. Paths are relative to the data root."""
        values = {name: getattr(self, name) for name in DATA.fields}
        for role, folder in self.folders.items():
            values[role] = (
                folder.validation_document() if role == "validation" else folder.document()
            )
        return {name: _json(value) for name, value in values.items()}


@dataclass(frozen=True)
class GivenFolders:
    """The folders of a spec, and the other fields that decide which of their files are used.

    Attributes:
        by_role: the folders, by the set that each is for; train comes first.
        class_names: the classes; None if the training folder decides them.
        validation_split: share of the training folder that is validated on.
        complete: whether all these fields could be read.
        at: where the spec was read.
    """

    by_role: Mapping[Role, DataFolder]
    class_names: tuple[str, ...] | None
    validation_split: float | None
    complete: bool
    at: At

    @staticmethod
    def of(data: Mapping[str, Any], at: At) -> "GivenFolders":
        """The folders from the values of `data`.

        Args:
            data: by field; values that could not be read are missing.
            at: the root of the reading.
        """
        roles: tuple[Role, ...] = ("train", "validation", "test")
        return GivenFolders(
            {role: data[role] for role in roles if data.get(role)},
            data.get("class_names"),
            data.get("validation_split"),
            all(name in data for name in (*roles, "class_names", "validation_split")),
            at,
        )


@dataclass(frozen=True)
class Compile:
    """Optimizer, loss and metrics."""

    optimizer: KerasObject
    loss: KerasObject
    metrics: tuple[KerasObject, ...]


@dataclass(frozen=True)
class Fit:
    """How long to train, and how much an image of each class counts."""

    epochs: int
    class_weight: ClassWeights | Literal["balanced"] | None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    jit: Literal["auto"] | bool


@dataclass(frozen=True)
class Resources:
    """Where, when and how long the job may run."""

    gpus: Literal["auto", 0, 1]
    queue: str
    priority: int
    time_limit_s: float | None


@dataclass(frozen=True)
class Retry:
    """How often a job is started at most, if its worker or trainer crashes."""

    attempts: int


@dataclass(frozen=True)
class Spec:
    """What one job trains, with every default filled in.

    Only `load`, `loads`, `from_python` and `from_document` create it, and they check everything.

    Attributes:
        name: the job's name.
        tags: names and texts by which the job is found.
        data: the folders of images, and how they are read.
        model: the layers, in order.
        compile: optimizer, loss and metrics.
        fit: epochs and weights of classes.
        callbacks: Keras's callbacks.
        resources: GPUs, queue, priority and time limit.
        retry: how often the job may be attempted.
        reproducibility: `seeded` or `deterministic`.
        at: where the spec was read, for problems that are found later.
    """

    name: str
    tags: Mapping[str, str]
    data: Data
    model: tuple[KerasObject, ...]
    compile: Compile
    fit: Fit
    callbacks: tuple[KerasObject, ...]
    resources: Resources
    retry: Retry
    reproducibility: Literal["seeded", "deterministic"]
    at: At = field(compare=False, repr=False)

    def document(self) -> dict[str, Any]:
        """The effective spec as JSON, with the sections of the YAML.

        Paths are relative to the data root.
        """
        return {
            "name": self.name,
            "tags": dict(self.tags),
            "data": self.data.document(),
            "model": [_json(layer) for layer in self.model],
            "compile": {name: _json(getattr(self.compile, name)) for name in COMPILE.fields},
            "fit": {name: _json(getattr(self.fit, name)) for name in FIT.fields},
            "callbacks": [_json(callback) for callback in self.callbacks],
            "resources": {
                "gpus": self.resources.gpus,
                "queue": self.resources.queue,
                "priority": self.resources.priority,
                "time_limit": self.resources.time_limit_s,
            },
            "retry": {"attempts": self.retry.attempts},
            "reproducibility": self.reproducibility,
        }

    @property
    def folders(self) -> GivenFolders:
        """The folders of images."""
        return GivenFolders.of(vars(self.data), self.at)

    @property
    def warnings(self) -> list[Problem]:
        """What was accepted but is probably a mistake."""
        return self.at.reading.warnings

    @cached_property
    def hash(self) -> str:
        """SHA-256, hexadecimal, of everything that decides the numbers of the training.

        Name, tags, resources and retry do not count.
        """
        return _sha256(self._decides())

    @cached_property
    def epoch_hash(self) -> str:
        """Like `hash`, but without the number of epochs.

        Two jobs with the same `epoch_hash` have the same numbers in each epoch, so one can
        continue from a training state of the other.
        """
        return _sha256(_without_epochs(self._decides()))

    @property
    def earlier_hash(self) -> str:
        """The `hash` before all changes of meaning; equal to `hash` if no change applies."""
        return _sha256(self._decides(earlier=True))

    def _decides(self, *, earlier: bool = False) -> dict[str, Any]:
        """The part of the document that decides the numbers of the training.

        Args:
            earlier: whether to return the form from before all changes of meaning.
        """
        document = self.document()
        for name in ("name", "tags", "resources", "retry"):
            del document[name]
        # `exact` and `off` give the same numbers.
        if self.data.pack != "uint8":
            del document["data"]["pack"]
        if earlier:
            changes.undo(document, self)
        elif changed := changes.of(self):
            document["changes"] = [change.name for change in changed]
        # These fields are newer than the hash. Without their defaults a spec keeps its hash, so
        # that training states from before an upgrade can be continued.
        for name in ("precision", "jit"):
            if document["fit"][name] == FIT.fields[name].default:
                del document["fit"][name]
        return document

    @property
    def validates(self) -> bool:
        """Whether each epoch ends with a validation."""
        return self.data.validation is not None or self.data.validation_split is not None

    @cached_property
    def produces(self) -> tuple[str, ...]:
        """All names of the training's history."""
        return monitors.produces(self.compile.metrics, self.callbacks, validates=self.validates)

    @cached_property
    def monitor(self) -> Monitor:
        """The monitor that decides the best model."""
        return monitors.deciding(self.callbacks, validates=self.validates)

    @property
    def convolves(self) -> bool:
        """Whether the model has convolutions."""
        return any("Conv" in layer.class_name for layer in self.model)

    def with_classes(self, count: int) -> "Spec":
        """This spec with `count` in place of every "classes".

        Args:
            count: number of classes in the data.
        """

        def resolved(section: Fields, name: str, value: Any) -> Any:
            return section.fields[name].kind.with_classes(value, count)

        return replace(
            self,
            model=resolved(TOP, "model", self.model),
            compile=Compile(
                optimizer=resolved(COMPILE, "optimizer", self.compile.optimizer),
                loss=resolved(COMPILE, "loss", self.compile.loss),
                metrics=resolved(COMPILE, "metrics", self.compile.metrics),
            ),
            callbacks=resolved(TOP, "callbacks", self.callbacks),
        )


def build(values: Mapping[str, Any], name: str, at: At) -> Spec:
    """The spec from values that were read without a problem.

    Args:
        values: by section and field.
        name: used if the spec gives no name.
        at: the root of the reading.
    """
    resources = dict(values["resources"])
    resources["time_limit_s"] = resources.pop("time_limit")
    return Spec(
        name=values["name"] or name,
        tags=values["tags"],
        data=Data(**values["data"]),
        model=values["model"],
        compile=Compile(**values["compile"]),
        fit=Fit(**values["fit"]),
        callbacks=values["callbacks"],
        resources=Resources(**resources),
        retry=Retry(**values["retry"]),
        reproducibility=values["reproducibility"],
        at=at,
    )


def _without_epochs(decides: dict[str, Any]) -> dict[str, Any]:
    fit = {name: value for name, value in decides["fit"].items() if name != "epochs"}
    return {**decides, "fit": fit}


def _sha256(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _json(value: "Value | Mapping[str, Value]") -> Json:
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    return to_json(value)
