"""The sections of a spec and their fields."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from fornada.spec import nodes
from fornada.spec.arguments import BOOLEAN, NOT_NEGATIVE
from fornada.spec.fields import Field, Fields
from fornada.spec.kinds import Choice, Integer, Kind, Number, any_of, found
from fornada.spec.kinds_of_kinds import ListOf, Nullable, Pair
from fornada.spec.kinds_of_text import Duration, Label, is_label
from fornada.spec.limits import clip
from fornada.spec.nodes import Json, Node, Scalar
from fornada.spec.objects import Object, ObjectList
from fornada.spec.paths import DataPath
from fornada.spec.reading import At, Refused
from fornada.spec.values import Value

_SPLIT = Number(above=0, below=1)
# As in Keras's image_dataset_from_directory.
_INTERPOLATIONS = (
    "bilinear",
    "nearest",
    "bicubic",
    "area",
    "lanczos3",
    "lanczos5",
    "gaussian",
    "mitchellcubic",
)
# Letters of a tag's value and of a class name, which is a folder's.
_LONGEST_TEXT = 255


@dataclass(frozen=True)
class ClassName(Kind):
    """The name of a folder of images."""

    words = "the name of a class's folder, in quotes if it looks like a number"

    def parse(self, node: Node, at: At) -> str:
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, str):
            text = node.text if isinstance(node, Scalar) else ""
            hint = f'\n  Did you mean "{clip(text)}", in quotes?' if text else ""
            raise self.refuse(node, at, f"{found(node)} is not text.", hint)
        if not is_class_name(value):
            raise self.wrong(node, at)
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "minLength": 1, "maxLength": _LONGEST_TEXT}


def is_class_name(text: str) -> bool:
    """Whether `text` can name one folder."""
    return (
        0 < len(text) <= _LONGEST_TEXT
        and not set(text) & set("/\n\r\t")
        and text not in (".", "..")
    )


@dataclass(frozen=True)
class Weights(Kind):
    """A weight for each of some classes."""

    words = "{class: weight}, each class an index from 0 or a class's name, each weight 0 or more"

    def takes(self, node: Node) -> bool:
        return isinstance(node, nodes.Mapping)

    def parse(self, node: Node, at: At) -> Mapping[str, float]:
        if not isinstance(node, nodes.Mapping) or not node.items:
            raise self.wrong(node, at)
        weights: dict[str, float] = {}
        for name, item in node.items.items():
            here = at.key(name)
            here.seen(node.keys[name])
            if not is_class_name(name):
                here.refuse(node.keys[name], f"is no class.\n  Expected {self.words}.")
                continue
            with suppress(Refused):
                weights[name] = NOT_NEGATIVE.parse(item, here)
        return weights

    def schema(self) -> dict[str, Json]:
        return {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": NOT_NEGATIVE.schema(),
        }


@dataclass(frozen=True)
class Tags(Kind):
    """What a person wants to find the job by."""

    words = "{name: text}, each text one line of at most 255 letters"

    def takes(self, node: Node) -> bool:
        return isinstance(node, nodes.Mapping)

    def parse(self, node: Node, at: At) -> Mapping[str, str]:
        if isinstance(node, Scalar) and node.value is None:
            return {}
        if not isinstance(node, nodes.Mapping):
            raise self.wrong(node, at)
        tags: dict[str, str] = {}
        for name, item in node.items.items():
            here = at.key(name)
            if not is_label(name):
                here.refuse(node.keys[name], f"is no name.\n  Expected {Label().words}.")
            # A tag is text as written: `fold: 3` and `late: no` lose nothing.
            elif not isinstance(item, Scalar) or item.value is None or not _is_line(item.text):
                here.refuse(item.mark, f"{found(item)} is not accepted.\n  Expected {self.words}.")
            else:
                tags[name] = item.text
        return tags

    def schema(self) -> dict[str, Json]:
        value: Json = {"type": ["string", "number", "boolean"]}
        return any_of({"type": "object", "additionalProperties": value}, {"type": "null"})


def _is_line(text: str) -> bool:
    return len(text) <= _LONGEST_TEXT and not set(text) & set("\n\r")


@dataclass(frozen=True)
class Validation(Kind):
    """A folder to validate on, or the validation subset of one."""

    words = "a folder, or {folder: a folder, split: a share above 0 and below 1}"
    fields = Fields(
        "validation",
        "field",
        {
            "folder": Field(DataPath(), about="The folder."),
            "split": Field(Nullable(_SPLIT), None, "The share whose files are used; null: all."),
        },
    )

    def takes(self, node: Node) -> bool:
        return True

    def parse(self, node: Node, at: At) -> Mapping[str, Value]:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return {"folder": DataPath().parse(node, at), "split": None}
        if not isinstance(node, nodes.Mapping):
            raise self.wrong(node, at)
        values = self.fields.parse(node, at)
        if len(values) < len(self.fields.fields):
            raise Refused
        return values

    def schema(self) -> dict[str, Json]:
        return any_of(DataPath().schema(), self.fields.schema())


# Slots: one trains one job, on its GPU if it has one.
_GPUS = Choice("auto", 0, 1)

DATA = Fields(
    "data",
    "field",
    {
        "train": Field(DataPath(), about="Folder with one sub-folder of images a class."),
        "test": Field(
            Nullable(DataPath()), None, "The best model is evaluated on it once, at the end."
        ),
        "validation": Field(
            Nullable(Validation()),
            None,
            "A folder to validate on after each epoch, or {folder, split}: the files that "
            "Keras's validation subset takes from that folder.",
        ),
        "validation_split": Field(
            Nullable(_SPLIT), None, "Share of train that is kept for validation instead."
        ),
        "image_size": Field(
            Pair(Integer(1, 8192)), [256, 256], "Height and width that images are brought to."
        ),
        "color_mode": Field(Choice("rgb", "rgba", "grayscale"), "rgb", "3, 4 or 1 channels."),
        "batch_size": Field(Integer(1, 65536), 32, "Images in one training step."),
        "shuffle": Field(BOOLEAN, True, "Whether each epoch has an order of its own."),
        "seed": Field(Integer(0, 2**32 - 1), 0, "Decides order, split, first weights, dropout."),
        "label_mode": Field(
            Choice("int", "categorical", "binary"),
            "int",
            "Labels as integers, one-hot, or 0 and 1; the loss says which it takes.",
        ),
        "class_names": Field(
            Nullable(ListOf(ClassName(), minimum=2)),
            None,
            "The classes and their order; null: train's sub-folders, sorted.",
        ),
        "interpolation": Field(Choice(*_INTERPOLATIONS), "bilinear", "How images are resized."),
        "crop_to_aspect_ratio": Field(
            BOOLEAN, False, "Whether images are cropped, not stretched, to image_size."
        ),
    },
    {
        "directory": "Keras's directory is called train here.",
        "validation_data": "Keras's validation_data is called validation here.",
        "subset": "subset is decided already: train is the training subset.",
        "labels": "labels is not supported: labels are the names of the folders.",
        "follow_links": "follow_links is not supported yet.",
        "data_format": "data_format is not supported: images are channels_last.",
        "pad_to_aspect_ratio": "pad_to_aspect_ratio is not supported yet.",
    },
)
COMPILE = Fields(
    "compile",
    "field",
    {
        "optimizer": Field(Object("optimizers"), about="How weights follow the gradient."),
        "loss": Field(Object("losses"), about="What training makes small."),
        "metrics": Field(ObjectList("metrics"), [], "What is measured beside the loss."),
    },
    {
        name: f"{name} is not supported yet."
        for name in (
            "loss_weights",
            "weighted_metrics",
            "run_eagerly",
            "steps_per_execution",
            "jit_compile",
            "auto_scale_loss",
        )
    },
)
FIT = Fields(
    "fit",
    "field",
    {
        "epochs": Field(Integer(1, 1_000_000), 1, "How often training sees all images, at most."),
        "class_weight": Field(
            Nullable(Weights()), None, "How much an image of each class counts; 1 if not given."
        ),
    },
    {
        "batch_size": "batch_size belongs to data.",
        "validation_split": "validation_split belongs to data.",
        "validation_data": "validation_data is called validation, and belongs to data.",
        "shuffle": "shuffle belongs to data.",
        "callbacks": "callbacks is a section of its own.",
        "verbose": "verbose is not needed: progress is always reported.",
        "x": "x is given by data.train.",
        "y": "y is given by data.train.",
        **{
            name: f"{name} is not supported yet."
            for name in (
                "sample_weight",
                "initial_epoch",
                "steps_per_epoch",
                "validation_steps",
                "validation_batch_size",
                "validation_freq",
            )
        },
    },
)
RESOURCES = Fields(
    "resources",
    "field",
    {
        "gpus": Field(
            _GPUS,
            "auto",
            "auto: any slot, its GPU if it has one; 0: any slot, no GPU; 1: a GPU slot.",
        ),
        "queue": Field(Label(), "default", "The queue that the job waits in."),
        "priority": Field(Integer(-100, 100), 0, "Higher ones go first, then older ones."),
        "time_limit": Field(Nullable(Duration()), None, "How long the job may run."),
    },
)
RETRY = Fields(
    "retry",
    "field",
    {"attempts": Field(Integer(1, 100), 3, "How often a job that crashes is started in all.")},
)


@dataclass(frozen=True)
class Section(Kind):
    """A section that holds fields; absent or empty, all have their defaults."""

    fields: Fields

    @property
    def words(self) -> str:
        return f"a mapping of: {', '.join(self.fields.fields)}"

    def takes(self, node: Node) -> bool:
        return isinstance(node, nodes.Mapping)

    def parse(self, node: Node, at: At) -> dict[str, Value]:
        return self.fields.parse(node, at)

    def schema(self) -> dict[str, Json]:
        schema = self.fields.schema()
        return schema if "required" in schema else any_of(schema, {"type": "null"})


def _section(fields: Fields, about: str) -> Field:
    """Required where one of its fields is."""
    if fields.required():
        return Field(Section(fields), about=about)
    return Field(Section(fields), None, about)


TOP = Fields(
    "a spec",
    "section",
    {
        "name": Field(Nullable(Label()), None, "Of the job; by default the file's."),
        "tags": Field(Tags(), {}, "Names and texts to find the job by."),
        "data": _section(DATA, "The images, read as image_dataset_from_directory reads them."),
        "model": Field(
            ObjectList("layers", minimum=1, indexed=True), about="The layers, from first to last."
        ),
        "compile": _section(COMPILE, "Optimizer, loss and metrics."),
        "fit": _section(FIT, "How long to train."),
        "callbacks": Field(ObjectList("callbacks"), [], "What happens between epochs."),
        "resources": _section(RESOURCES, "Where, when and how long the job may run."),
        "retry": _section(RETRY, "What happens when a worker or trainer dies."),
    },
)
