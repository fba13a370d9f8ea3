"""The sections of a spec, and the fields of each."""

from dataclasses import dataclass

from fornada.db.states import PRIORITIES
from fornada.spec.catalogue import callbacks, layers, losses, metrics, optimizers
from fornada.spec.catalogue.arguments import BOOLEAN
from fornada.spec.catalogue.objects import Object, ObjectList
from fornada.spec.datafolder import SPLIT, Folder, Validation
from fornada.spec.kinds.compound import ListOf, Nullable, Pair
from fornada.spec.kinds.fields import Field, Fields
from fornada.spec.kinds.kind import Kind, or_null
from fornada.spec.kinds.named import Tags, Weights
from fornada.spec.kinds.plain import AutoOrBoolean, Choice, Integer
from fornada.spec.kinds.reading import At
from fornada.spec.kinds.text import ClassName, Duration, Label, Name
from fornada.spec.source.nodes import Json, Node
from fornada.spec.values import Value

# The interpolations of Keras's image_dataset_from_directory.
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
# Keras cannot crop images with these interpolations.
NEVER_CROPPED = ("gaussian", "mitchellcubic")


# At most 1: a job runs in one slot, and a slot has at most one GPU.
_GPUS = Choice("auto", 0, 1)

DATA = Fields(
    "data",
    "field",
    {
        "train": Field(
            Folder(),
            about="Folder to train on, with one sub-folder of images for each class; or a subset "
            "of it.",
        ),
        "test": Field(
            Nullable(Folder()),
            None,
            "Folder on which the best model is evaluated, once, at the end; or a subset of it.",
        ),
        "validation": Field(
            Nullable(Validation()),
            None,
            "Folder to validate on after each epoch, or a subset of it.",
        ),
        "validation_split": Field(
            Nullable(SPLIT),
            None,
            "Share of train that is used for validation and not for training; instead of "
            "validation.",
        ),
        "image_size": Field(
            Pair(Integer(1, 8192)), [256, 256], "Height and width that images are resized to."
        ),
        "color_mode": Field(
            Choice("rgb", "rgba", "grayscale"), "rgb", "rgb: 3 channels; rgba: 4; grayscale: 1."
        ),
        "batch_size": Field(Integer(1, 65536), 32, "Images in one training step."),
        "shuffle": Field(BOOLEAN, True, "Whether each epoch uses the images in a new order."),
        "seed": Field(
            Integer(0, 2**32 - 1),
            0,
            "Seed for everything random: order of images, split, first weights, dropout.",
        ),
        "label_mode": Field(
            Choice("int", "categorical", "binary"),
            "int",
            "int: labels are integers; categorical: one-hot; binary: 0 or 1. Each loss needs one "
            "of these.",
        ),
        "class_names": Field(
            Nullable(ListOf(ClassName(), minimum=2)),
            None,
            "The classes in the order of their labels; null: the sub-folders of train, sorted.",
        ),
        "interpolation": Field(Choice(*_INTERPOLATIONS), "bilinear", "How images are resized."),
        "crop_to_aspect_ratio": Field(
            BOOLEAN,
            False,
            "true: images are cropped to the aspect ratio of image_size; false: images are "
            "stretched.",
        ),
        "pack": Field(
            Choice("exact", "uint8", "off"),
            "exact",
            "exact: images are decoded once and kept on the worker's disk; uint8: the same, but "
            "resized images are rounded to bytes; off: images are decoded again in each epoch.",
        ),
    },
    {
        "directory": "Keras's directory is called train here.",
        "validation_data": "Keras's validation_data is called validation here.",
        "subset": "subset belongs to a folder, together with a validation_split: "
        "{folder: Data/Train, validation_split: 0.1, subset: training}.",
        "labels": "labels is not supported: the labels come from the names of the folders.",
        "follow_links": "follow_links is not supported yet.",
        "data_format": "data_format is not supported: images are channels_last.",
        "format": "format is not supported: the trainer decides how images reach the model.",
        "verbose": "verbose is not needed: the log always says which images are read.",
        "pad_to_aspect_ratio": "pad_to_aspect_ratio is not supported yet.",
    },
)
COMPILE = Fields(
    "compile",
    "field",
    {
        "optimizer": Field(
            Object(optimizers.FAMILY), about="Changes the weights along the gradient."
        ),
        "loss": Field(Object(losses.FAMILY), about="Training minimizes this."),
        "metrics": Field(
            ObjectList(metrics.FAMILY), [], "Computed in addition to the loss, in each epoch."
        ),
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
        "epochs": Field(
            Integer(1, 1_000_000),
            1,
            "Highest number of epochs. In each epoch, training uses every image once.",
        ),
        "class_weight": Field(
            Nullable(Weights()),
            None,
            "How much an image of each class counts in the loss; a class that is not given counts "
            "1.",
        ),
        "precision": Field(
            Choice("float32", "mixed_bfloat16", "mixed_float16"),
            "float32",
            "Keras's dtype policy. The mixed policies compute in 16 bits and keep weights in 32.",
        ),
        "jit": Field(
            AutoOrBoolean(),
            "auto",
            "Whether XLA compiles the training steps. auto: on a GPU, and on a CPU for models of "
            "dense layers that train long enough.",
        ),
    },
    {
        "batch_size": "batch_size belongs to data.",
        "validation_split": "validation_split belongs to data.",
        "validation_data": "validation_data is called validation, and belongs to data.",
        "shuffle": "shuffle belongs to data.",
        "callbacks": "callbacks is a separate section of the spec.",
        "verbose": "verbose is not needed: progress is always reported.",
        "x": "x is not needed: data.train gives the images.",
        "y": "y is not needed: data.train gives the labels.",
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
            "auto: any slot; the job uses the slot's GPU if there is one. 0: any slot, without its "
            "GPU. 1: a slot with a GPU.",
        ),
        "queue": Field(Label(), "default", "The queue that the job waits in."),
        "priority": Field(
            Integer(PRIORITIES[0], PRIORITIES[-1]),
            0,
            "Jobs with a higher priority run first; with the same priority, older jobs.",
        ),
        "time_limit": Field(
            Nullable(Duration()),
            None,
            "How long the job may run, all its attempts together. `fornada retry` gives it this "
            "time again.",
        ),
    },
)
RETRY = Fields(
    "retry",
    "field",
    {
        "attempts": Field(
            Integer(1, 100), 3, "How often the job is started at most, if its attempts crash."
        )
    },
)


@dataclass(frozen=True)
class Section(Kind):
    """A section of fields. If it is missing or empty, every field has its default."""

    fields: Fields

    @property
    def words(self) -> str:
        return f"a mapping of: {', '.join(self.fields.fields)}"

    def parse(self, node: Node, at: At) -> dict[str, Value]:
        return self.fields.parse(node, at)

    def schema(self) -> dict[str, Json]:
        schema = self.fields.schema()
        return schema if "required" in schema else or_null(schema)


def _section(fields: Fields, about: str) -> Field:
    """The field for a section. It is required if the section has a required field."""
    if fields.required():
        return Field(Section(fields), about=about)
    return Field(Section(fields), None, about)


TOP = Fields(
    "a spec",
    "section",
    {
        "name": Field(Nullable(Name()), None, "Name of the job; default: the name of the file."),
        "tags": Field(Tags(), {}, "Names and texts by which you find the job."),
        "data": _section(DATA, "The images. They are read as by image_dataset_from_directory."),
        "model": Field(
            ObjectList(layers.FAMILY, minimum=1, indexed=True),
            about="The layers, from first to last.",
        ),
        "compile": _section(COMPILE, "Optimizer, loss and metrics."),
        "fit": _section(FIT, "How long to train."),
        "callbacks": Field(ObjectList(callbacks.FAMILY), [], "What happens after each epoch."),
        "resources": _section(RESOURCES, "Where, when and how long the job may run."),
        "retry": _section(RETRY, "What happens if a worker or a trainer crashes."),
        "reproducibility": Field(
            Choice("seeded", "deterministic"),
            "seeded",
            "seeded: the seed decides everything random. deterministic: in addition, two runs on "
            "equal devices give exactly the same numbers, even on a GPU; training is slower.",
        ),
    },
)
