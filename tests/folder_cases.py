"""Folders of images that are wrong in one way each, and what every command must say of them."""

import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fornada.spec import Spec, loads

# The line of each field, which every problem and warning must have.
SPEC = """\
name: small
data:
  train: {train}
  test: {test}
  validation_split: {validation_split}
  label_mode: {label_mode}
  class_names: {class_names}
  image_size: [8, 8]
  shuffle: {shuffle}
model:
  - Flatten
  - Dense: {{units: {units}, activation: softmax}}
compile: {{optimizer: Adam, loss: {loss}}}
fit: {{class_weight: {class_weight}}}
"""
DEFAULTS = {
    "train": "Train",
    "test": "Test",
    "validation_split": "null",
    "label_mode": "int",
    "class_names": "null",
    "shuffle": "true",
    "units": "classes",
    "loss": "SparseCategoricalCrossentropy",
    "class_weight": "null",
}
LINES = {
    "data.train": 3,
    "data.test": 4,
    "data.validation_split": 5,
    "data.label_mode": 6,
    "model.1.Dense.units": 12,
    "fit.class_weight.zebra": 14,
    "fit.class_weight.1": 14,
}
_NFC, _NFD = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
NOT_UTF8 = os.fsdecode(b"caf\xe9")


@dataclass(frozen=True)
class Case:
    """Folders, and what is found in them.

    Attributes:
        name: of the test.
        make: changes good folders: `Train` and `Test` with the classes a, b and c.
        changes: of the spec.
        problems: code and path of each, in order.
        warnings: path of each, in order.
        says: what some message must hold: the name to write, the number left out.
        never: what would be false.
    """

    name: str
    make: Callable[[Path], None]
    problems: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    changes: Mapping[str, str] = field(default_factory=dict)
    says: Sequence[str] = ()
    never: Sequence[str] = ()

    def text(self) -> str:
        """The spec as a person writes it."""
        return SPEC.format(**{**DEFAULTS, **self.changes})

    def spec(self, root: Path) -> Spec:
        """The spec, with the folders below `root`."""
        return loads(self.text(), file="small.yaml", data_root=root, base=root)


def touch(root: Path, *names: str) -> None:
    """Files that are called images, and their folders."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def good(root: Path) -> None:
    """Folders of which nothing is to be said."""
    for label in "abc":
        touch(root, *(f"Train/{label}/{n}.png" for n in range(4)), f"Test/{label}/9.png")


def _nothing(root: Path) -> None:
    pass


def _empty(*names: str) -> Callable[[Path], None]:
    """Takes the files out of folders."""

    def make(root: Path) -> None:
        for name in names:
            for file in (root / name).iterdir():
                file.unlink()

    return make


def _touched(*names: str) -> Callable[[Path], None]:
    """Adds files."""

    def make(root: Path) -> None:
        touch(root, *names)

    return make


def _renamed(**names: str) -> Callable[[Path], None]:
    """Renames folders of `Test`."""

    def make(root: Path) -> None:
        for old, new in names.items():
            (root / "Test" / old).rename(root / "Test" / new)

    return make


def _refilled(*names: str) -> Callable[[Path], None]:
    """Other files in place of those of the class b of training."""

    def make(root: Path) -> None:
        _empty("Train/b")(root)
        touch(root, *(f"Train/b/{name}" for name in names))

    return make


def _link_away(root: Path) -> None:
    (root.parent / "away").mkdir()
    touch(root.parent, "away/1.png")
    (root / "Train" / "d").symlink_to(root.parent / "away")
    touch(root, "Test/d/1.png")
    (root / "Test" / "a" / "link.png").symlink_to(root.parent / "away" / "1.png")


def _link_to_itself(root: Path) -> None:
    (root / "Train" / "a" / "self.png").symlink_to("self.png")
    (root / "Train" / "self").symlink_to("self")
    (root / "Test" / "a" / "none.png").symlink_to("nothing.png")


def _unreadable(root: Path) -> None:
    """A folder whose path is longer than the kernel reads: so it is for every user."""
    here = os.open(root / "Train" / "b", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


MISSING, INVALID, SPEC_INVALID = "DATA_MISSING", "DATA_INVALID", "SPEC_INVALID"
CASES = (
    Case("nothing", _nothing),
    Case(
        "extra-class-in-test",
        _touched("Test/d/1.png", "Test/d/sub/2.png", "Test/d/3.txt"),
        warnings=["data.test"],
        says=["d (2 images)"],
    ),
    Case("empty-class-in-test", _empty("Test/b"), warnings=["data.test"], says=["b"]),
    Case("empty-class-in-train", _empty("Train/b"), [(MISSING, "data.train")]),
    Case("test-lacks-a-class", _renamed(b="../b"), [(MISSING, "data.test")]),
    Case(
        "nothing-in-test",
        _empty("Test/a", "Test/b", "Test/c"),
        [(MISSING, "data.test")],
        says=["a, b, c"],
    ),
    Case(
        "other-case",
        _renamed(b="B"),
        [(MISSING, "data.test")],
        says=['"B" and "b" differ only in upper and lower case'],
        never=["no images", "extra"],
    ),
    Case(
        "case-of-all-classes",
        _renamed(a="A", b="B", c="C"),
        [(MISSING, "data.test")],
        says=['"A" and "a" differ only in upper and lower case', '"C" and "c"'],
        never=["no images", "extra"],
    ),
    Case(
        "case-beside-the-right-one",
        _touched("Test/A/1.png"),
        warnings=["data.test"],
        says=['A (1 image; differs from "a" only in upper and lower case'],
    ),
    Case(
        "two-cases-in-train",
        _touched("Train/A/1.png", "Test/A/1.png"),
        warnings=["data.train"],
        says=['"A" and "a"'],
    ),
    Case(
        "unicode-form",
        _touched(f"Train/{_NFC}/1.png", f"Test/{_NFD}/1.png"),
        [(MISSING, "data.test")],
        says=['"cafe\\u0301" and "caf\\xe9" differ only in Unicode form'],
        never=["no images", "extra"],
    ),
    Case(
        "spaces-in-a-name",
        _touched("Train/d/1.png", "Test/d /1.png"),
        [(MISSING, "data.test")],
        says=['"d " and "d" differ only in spaces'],
    ),
    Case(
        "binary-with-three-classes",
        _nothing,
        [(INVALID, "data.label_mode")],
        changes={"label_mode": "binary", "loss": "BinaryCrossentropy", "units": "1"},
        says=["not 3"],
    ),
    Case(
        "units-of-another-number",
        _nothing,
        [(SPEC_INVALID, "model.1.Dense.units")],
        changes={"units": "2"},
    ),
    Case(
        "weight-of-no-class",
        _nothing,
        [(SPEC_INVALID, "fit.class_weight.zebra")],
        changes={"class_weight": "{a: 1, zebra: 2}"},
    ),
    Case(
        "weight-of-an-index-that-is-another-name",
        _touched("Train/1/1.png", "Test/1/1.png"),
        warnings=["fit.class_weight.1"],
        changes={"class_weight": "{1: 2}"},
    ),
    Case(
        "class-that-is-not-utf8",
        _touched(f"Train/{NOT_UTF8}/1.png", f"Test/{NOT_UTF8}/1.png"),
        [(INVALID, "data.train")],
        says=["caf\\xe9", "not UTF-8"],
    ),
    Case(
        "extra-class-that-is-not-utf8",
        _touched(f"Test/{NOT_UTF8}/1.png"),
        warnings=["data.test"],
        says=["caf\\xe9 (1 image)"],
    ),
    Case("file-that-is-not-utf8", _touched(f"Train/a/{NOT_UTF8}.png", f"Train/a/{NOT_UTF8}.txt")),
    Case(
        "one-class",
        _touched("One/cats/1.png", "One/cats/2.png"),
        [(INVALID, "data.train")],
        changes={"train": "One"},
        says=["folder above"],
    ),
    Case(
        "one-folder-around-the-classes",
        _touched("One/Train/cat/1.png", "One/Train/dog/2.png", "Test/Train/1.png"),
        [(INVALID, "data.train")],
        changes={"train": "One"},
        says=["folder below", "One/Train"],
        never=["folder above"],
    ),
    Case(
        "images-and-no-classes",
        _touched("Flat/1.png", "Flat/2.png"),
        [(MISSING, "data.train")],
        changes={"train": "Flat"},
        says=["2 images directly in it", "folder above"],
    ),
    Case(
        "no-classes-at-all",
        lambda root: (root / "Hollow").mkdir(),
        [(MISSING, "data.train")],
        changes={"train": "Hollow"},
        never=["images directly"],
    ),
    Case(
        "images-beside-the-classes",
        _touched("Train/1.png"),
        warnings=["data.train"],
        says=["1 image directly in it"],
    ),
    Case(
        "train-is-missing",
        _touched("Test/d/1.png"),
        [(MISSING, "data.train")],
        changes={"train": "train"},
        says=['"Train"'],
        never=["extra", "data.test"],
    ),
    Case(
        "train-is-missing-and-test-is-empty",
        _empty("Test/a", "Test/b", "Test/c"),
        [(MISSING, "data.train"), (MISSING, "data.test")],
        changes={"train": "None"},
    ),
    Case(
        "train-is-missing-and-the-spec-names-classes",
        _empty("Test/a"),
        [(MISSING, "data.train"), (MISSING, "data.test"), (MISSING, "data.test")],
        changes={"train": "None", "class_names": "[a, zebra]"},
        warnings=["data.test"],
        says=["zebra", "class_names does not name"],
    ),
    Case(
        "other-endings",
        _refilled("1.webp", "2.tiff"),
        [(MISSING, "data.train")],
        says=[".tiff, .webp"],
    ),
    Case(
        "images-of-kinds-that-are-not-read",
        _touched("Train/a/1.webp", "Train/b/2.TIFF", "Train/b/3.webp", "Test/c/4.heic", "5.tif"),
        warnings=["data.train", "data.test"],
        says=["3 images ignored (1 .tiff, 2 .webp), such as a/1.webp", "1 image ignored (1 .heic)"],
    ),
    Case("files-that-are-no-images", _touched("Train/a/1.txt", "Train/a/Thumbs.db", "Train/x.csv")),
    Case(
        "links-out-of-the-root",
        _link_away,
        [("PATH_REFUSED", "data.train"), ("PATH_REFUSED", "data.test")],
        says=["d/1.png", "a/link.png"],
    ),
    # What cannot be read is told where the images are decoded.
    Case("links-to-themselves", _link_to_itself),
    Case(
        "a-line-break-in-a-name",
        _touched("Train/x\ny/1.png", "Train/b/\n.png", "Test/x\ny/1.png"),
        [(INVALID, "data.train")],
        says=["x\\ny"],
    ),
    Case(
        "a-folder-that-cannot-be-read",
        _unreadable,
        [(MISSING, "data.train")],
        never=["no images"],
    ),
    Case(
        "a-share-of-no-image",
        _nothing,
        [(MISSING, "data.validation_split")],
        changes={"validation_split": "0.01"},
    ),
    Case(
        "classes-left-out-by-name",
        _nothing,
        changes={"class_names": "[a, c]"},
        warnings=["data.train", "data.test"],
        says=["b (4 images)", "b (1 image)"],
    ),
)
