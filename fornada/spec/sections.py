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
from fornada.spec.kinds.text import ClassName, Duration, Label
from fornada.spec.source.nodes import Json, Node
from fornada.spec.values import Value

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
# Keras resizes with these, but not where it crops.
NEVER_CROPPED = ("gaussian", "mitchellcubic")


# Slots: one trains one job, on its GPU if it has one.
_GPUS = Choice("auto", 0, 1)

DATA = Fields(
    "data",
    "field",
    {
        "train": Field(
            Folder(), about="Folder with one sub-folder of images a class, or a subset of it."
        ),
        "test": Field(
            Nullable(Folder()), None, "The best model is evaluated on it once, at the end."
        ),
        "validation": Field(
            Nullable(Validation()),
            None,
            "A folder to validate on after each epoch, or a subset of it.",
        ),
        "validation_split": Field(
            Nullable(SPLIT), None, "Share of train that is kept for validation instead."
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
        "pack": Field(
            Choice("exact", "uint8", "off"),
            "exact",
            "exact: decoded once and kept on the worker's disk; uint8: the same, rounded to bytes "
            "where images are resized; off: decoded anew in each epoch.",
        ),
    },
    {
        "directory": "Keras's directory is called train here.",
        "validation_data": "Keras's validation_data is called validation here.",
        "subset": "subset belongs to a folder, beside its own validation_split: "
        "{folder: Data/Train, validation_split: 0.1, subset: training}.",
        "labels": "labels is not supported: labels are the names of the folders.",
        "follow_links": "follow_links is not supported yet.",
        "data_format": "data_format is not supported: images are channels_last.",
        "format": "format is not supported: the trainer decides how images reach the model.",
        "verbose": "verbose is not needed: what is read is always logged.",
        "pad_to_aspect_ratio": "pad_to_aspect_ratio is not supported yet.",
    },
)
COMPILE = Fields(
    "compile",
    "field",
    {
        "optimizer": Field(Object(optimizers.FAMILY), about="How weights follow the gradient."),
        "loss": Field(Object(losses.FAMILY), about="What training makes small."),
        "metrics": Field(ObjectList(metrics.FAMILY), [], "What is measured beside the loss."),
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
        "precision": Field(
            Choice("float32", "mixed_bfloat16", "mixed_float16"),
            "float32",
            "Keras's dtype policy: mixed ones compute in 16 bits, and keep weights in 32.",
        ),
        "jit": Field(
            AutoOrBoolean(),
            "auto",
            "Whether XLA compiles the training steps; auto: on a GPU, and on a CPU for nets of "
            "dense layers that train long enough.",
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
        "priority": Field(
            Integer(PRIORITIES[0], PRIORITIES[-1]), 0, "Higher ones go first, then older ones."
        ),
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

    def parse(self, node: Node, at: At) -> dict[str, Value]:
        return self.fields.parse(node, at)

    def schema(self) -> dict[str, Json]:
        schema = self.fields.schema()
        return schema if "required" in schema else or_null(schema)


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
            ObjectList(layers.FAMILY, minimum=1, indexed=True),
            about="The layers, from first to last.",
        ),
        "compile": _section(COMPILE, "Optimizer, loss and metrics."),
        "fit": _section(FIT, "How long to train."),
        "callbacks": Field(ObjectList(callbacks.FAMILY), [], "What happens between epochs."),
        "resources": _section(RESOURCES, "Where, when and how long the job may run."),
        "retry": _section(RETRY, "What happens when a worker or trainer dies."),
        "reproducibility": Field(
            Choice("seeded", "deterministic"),
            "seeded",
            "seeded: the seed decides all that is random; deterministic: slower, and two runs on "
            "equal devices give the same bits, on a GPU too.",
        ),
    },
)
