"""A folder of images in a spec, or a subset of its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from fornada.spec.kinds.compound import Nullable
from fornada.spec.kinds.fields import Field, Fields
from fornada.spec.kinds.kind import Kind, any_of
from fornada.spec.kinds.plain import Choice, Number
from fornada.spec.kinds.reading import At, Refused
from fornada.spec.paths import DataPath
from fornada.spec.source import nodes
from fornada.spec.source.nodes import Json, Node, Scalar

Subset: TypeAlias = Literal["training", "validation"]
SPLIT = Number(above=0, below=1)
_SUBSET = Choice("training", "validation")


@dataclass(frozen=True)
class DataFolder:
    """A folder of images, or one subset of it, as in `image_dataset_from_directory`.

    Attributes:
        folder: relative to the data root.
        validation_split: share of the files in the validation subset; None: all files are used.
        subset: which subset is used; None: all files are used.
    """

    folder: str
    validation_split: float | None = None
    subset: Subset | None = None

    def document(self) -> Json:
        """The form in which `train` and `test` are written in a document."""
        if self.subset is None:
            return self.folder
        return {
            "folder": self.folder,
            "validation_split": self.validation_split,
            "subset": self.subset,
        }

    def validation_document(self) -> Json:
        """The form in which `validation` is written. `split` is the share of the validation set."""
        if self.subset == "training":
            return self.document()
        return {"folder": self.folder, "split": self.validation_split}


_FIELDS = {
    "folder": Field(DataPath(), about="The folder."),
    "validation_split": Field(
        Nullable(SPLIT),
        None,
        "The share of the files in the validation subset; null: all files are used.",
    ),
    "subset": Field(
        Nullable(_SUBSET),
        None,
        "Which subset is used: the files that image_dataset_from_directory gives with this "
        "validation_split, data.seed and data.shuffle.",
    ),
}


@dataclass(frozen=True)
class Folder(Kind):
    """A folder, or a subset of one."""

    words = (
        "a folder, or {folder: a folder, validation_split: a share above 0 and below 1, "
        "subset: training or validation}"
    )
    fields: ClassVar[Fields] = Fields(
        "train and test",
        "field",
        _FIELDS,
        {"split": "split is called validation_split here, and it needs subset beside it."},
    )

    def parse(self, node: Node, at: At) -> DataFolder:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return DataFolder(DataPath().parse(node, at))
        if not isinstance(node, nodes.Mapping):
            raise self.wrong(node, at)
        values = self.fields.parse(node, at)
        if len(values) < len(self.fields.fields):
            raise Refused
        return self._folder(values, at)

    def _folder(self, values: Mapping[str, Any], at: At) -> DataFolder:
        split, subset = values["validation_split"], values["subset"]
        # Keras, too, refuses one of the two without the other.
        if split is not None and subset is None:
            message = f"is missing beside validation_split.\n  Expected {_SUBSET.words}."
            raise at.key("subset").refuse(None, message)
        if subset is not None and split is None:
            message = f"is missing beside subset.\n  Expected {SPLIT.words}."
            raise at.key("validation_split").refuse(None, message)
        return DataFolder(values["folder"], split, subset)

    def schema(self) -> dict[str, Json]:
        return any_of(DataPath().schema(), self.fields.schema())


@dataclass(frozen=True)
class Validation(Folder):
    """A folder to validate on, or a subset of one. `split` is a short form of the subset."""

    words = f"{Folder.words}, or {{folder: a folder, split: the share of its validation subset}}"
    fields: ClassVar[Fields] = Fields(
        "validation",
        "field",
        {
            **_FIELDS,
            "split": Field(
                Nullable(SPLIT),
                None,
                "A short form of validation_split with subset: validation.",
            ),
        },
    )

    def _folder(self, values: Mapping[str, Any], at: At) -> DataFolder:
        split = values["split"]
        if split is None:
            return super()._folder(values, at)
        for other in ("validation_split", "subset"):
            if values[other] is not None:
                message = (
                    f"is given beside {other}.\n"
                    "  Expected split alone, or validation_split and subset without split."
                )
                raise at.key("split").refuse(None, message)
        return DataFolder(values["folder"], split, "validation")
