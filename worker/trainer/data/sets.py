"""The three sets of a job: training, validation and test, all with the classes of training."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from db.states import FailureCode
from fornada.fingerprint import fingerprint, role
from fornada.folders import Listing, list_images, outside, shuffled, subset, validation_count
from fornada.settings import Settings
from fornada.spec import Spec
from fornada.spec.paths import resolve
from fornada.spec.values import ClassWeights
from worker.messages import DataSummary
from worker.trainer.classes import refuse_unfit
from worker.trainer.data.decode import Decoder, Look, Watch
from worker.trainer.data.pack import IN_MEMORY_BYTES, Packing, Source
from worker.trainer.data.pixels import Pixels, Rows
from worker.trainer.failures import TrainingFailed, printable
from worker.trainer.memory import share

# A failure names this many bad files; the log names all.
_NAMED = 100

_PARTS: tuple[tuple[str, Literal["training", "validation"]], ...] = (
    ("train", "training"),
    ("validation", "validation"),
)


@dataclass(frozen=True, eq=False)
class Images:
    """One set, in its fixed order; equal to itself alone.

    Attributes:
        pixels: shape (count, height, width, channels), uint8 or float32; an array, or what an
            engine gathers from block by block.
        labels: index of the class, int32, shape (count,).
        targets: what the loss compares with, by label mode: int32 (count,), or float32 (count, 1)
            for binary, or one-hot float32 (count, classes) for categorical.
        weights: of each image in the loss, float32 (count,), where the spec weighs classes.
    """

    pixels: Pixels
    labels: NDArray[np.int32]
    targets: NDArray[Any]
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def example(self) -> tuple[NDArray[Any], ...]:
        """A batch of one image as the model meets it."""
        weights = () if self.weights is None else (self.weights[:1],)
        return self.pixels[np.arange(1)].astype(np.float32), self.targets[:1], *weights


@dataclass(frozen=True)
class Sets:
    """All that a job learns from and is measured on.

    Attributes:
        classes: names, in the order of their labels.
        fingerprint: sha256 over the paths, sizes and contents of all files, by set.
    """

    classes: tuple[str, ...]
    train: Images
    validation: Images | None
    test: Images | None
    fingerprint: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        _, height, width, channels = self.train.pixels.shape
        return (height, width, channels)

    def summary(self) -> DataSummary:
        """What the supervisor is told."""
        return DataSummary(
            fingerprint=self.fingerprint,
            classes=list(self.classes),
            train=len(self.train),
            validation=len(self.validation or ()),
            test=len(self.test or ()),
        )


def read_sets(
    spec: Spec,
    data_root: Path,
    settings: Settings,
    check: Callable[[], None] = lambda: None,
) -> Sets:
    """List, check and decode all folders of a spec.

    Args:
        spec: its `data` section.
        data_root: what its paths are relative to.
        settings: the home, in which packs lie, and limits.
        check: called between groups of images; what it raises ends the reading.

    Raises:
        TrainingFailed: DATA_MISSING or DATA_INVALID, naming all that is wrong.
        PathRefused: a folder lies outside the data root.
    """
    listings = list_sets(spec, data_root)
    refuse_unfit(spec, listings["train"].class_names)
    sources = read_sources(spec, listings, settings, Watch(check, _Progress()))
    sets = {
        name: _images(spec, listing, _rows(sources[listing.folder], listing))
        for name, listing in listings.items()
    }
    classes = listings["train"].class_names
    return Sets(
        classes=classes,
        train=_weighted(sets["train"], spec, classes),
        validation=sets.get("validation"),
        test=sets.get("test"),
        fingerprint=_fingerprint(spec, listings, sources),
    )


def read_sources(
    spec: Spec, listings: dict[str, Listing], settings: Settings, watch: Watch
) -> dict[Path, Source]:
    """The images of each folder, whichever sets they are for.

    Args:
        spec: its `data` section.
        listings: of its sets, by `list_sets`.
        settings: the home, in which packs lie, and limits.
        watch: is asked and told while files are read.

    Raises:
        TrainingFailed: DATA_INVALID, naming every file that is no image.
    """
    data = spec.data
    look = Look(data.image_size, data.color_mode, data.interpolation, data.crop_to_aspect_ratio)
    decoder = Decoder(look, settings.max_image_pixels)
    files: dict[Path, set[str]] = {}
    for listing in listings.values():
        files.setdefault(listing.folder, set()).update(listing.files)
    sources = {
        folder: Packing(folder, list(names), decoder, settings, watch).source(data.pack)
        for folder, names in files.items()
    }
    _refuse_bad_files(sources)
    return sources


class _Progress:
    """A line in the log every few seconds."""

    EVERY_S = 10.0

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._last_s >= self.EVERY_S:
            self._last_s = time.monotonic()
            print(f"decoded {done:,} of {total:,} images")


def _rows(source: Source, listing: Listing) -> Pixels:
    """The pixels of a listing's files, in its order."""
    place = {file: position for position, file in enumerate(source.files)}
    positions = np.array([place[file] for file in listing.files], np.int64)
    if np.array_equal(positions, np.arange(len(source.files))):
        return source.pixels
    size = int(np.prod(source.pixels.shape[1:])) * source.pixels.dtype.itemsize * len(positions)
    # A set that is copied once is gathered from faster than through two lists of positions.
    if isinstance(source.pixels, np.ndarray) and size <= share(IN_MEMORY_BYTES):
        return source.pixels[positions]
    return Rows(source.pixels, positions)


def list_sets(spec: Spec, data_root: Path) -> dict[str, Listing]:
    """The files of each set that the spec has: train, validation, test.

    Raises:
        TrainingFailed: DATA_MISSING for folders, classes or images that are not there,
            PATH_REFUSED for links that lead out of the data root, DATA_INVALID; all problems
            of all folders in one message, under the code of the first.
        PathRefused: a folder lies outside the data root.
    """
    data = spec.data
    folders = _Folders(data_root)
    train = folders.listing(data.train, data.class_names)
    folders.check_training(train, data.label_mode)
    sets = {"train": train}
    if data.validation_split:
        folders.check_split(train, data.validation_split)
        both = shuffled(train, data.seed) if data.shuffle else train
        for name, part in _PARTS:
            sets[name] = subset(both, data.validation_split, part, data.seed, shuffle=False)
    elif data.shuffle:
        sets["train"] = shuffled(train, data.seed)
    if data.validation is not None:
        folder, split = data.validation.folder, data.validation.split
        sets["validation"] = folders.listing(folder, train.class_names)
        if split:
            folders.check_split(sets["validation"], split)
            sets["validation"] = subset(
                sets["validation"], split, "validation", data.seed, data.shuffle
            )
    if data.test is not None:
        sets["test"] = folders.listing(data.test, train.class_names)
    folders.refuse_problems()
    return sets


class _Folders:
    """Lists folders, says what is passed over, and gathers what is wrong."""

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root
        self._problems: list[tuple[FailureCode, str]] = []

    def listing(self, stored: str, class_names: tuple[str, ...] | None) -> Listing:
        """List one folder; an empty listing where it cannot be."""
        folder = resolve(stored, self._data_root)
        try:
            listing = list_images(folder, class_names)
        except OSError as error:
            self._missing(f"{folder}: no folder that can be read: {error.strerror}.")
            return Listing(folder, class_names or (), (), ())
        self._check(listing)
        for word in ("extra", "empty", "ignored"):
            if names := getattr(listing, word):
                print(f"{listing.folder}: {word}: {_names(names)}")
        print(
            f"{listing.folder}: {len(listing.files)} images in {len(listing.class_names)} classes"
        )
        return listing

    def check_training(self, listing: Listing, label_mode: str) -> None:
        """Training fixes the classes, so each of them needs images here."""
        classes = len(listing.class_names)
        if listing.files and listing.empty:
            self._missing(f"{listing.folder}: no images in the classes {_names(listing.empty)}.")
        if listing.files and label_mode == "binary" and classes != 2:
            message = f"{listing.folder}: label_mode binary needs exactly 2 classes, not {classes}."
            self._problems.append((FailureCode.DATA_INVALID, message))

    def check_split(self, listing: Listing, split: float) -> None:
        """Keras validates on everything where a split leaves no image."""
        if listing.files and validation_count(len(listing.files), split) == 0:
            share = f"{split} of {len(listing.files)} images"
            self._missing(f"{listing.folder}: {share} is no image to validate on.")

    def refuse_problems(self) -> None:
        """Raise what was gathered.

        Raises:
            TrainingFailed: at least one problem was found.
        """
        if self._problems:
            message = "\n".join(text for _, text in self._problems)
            raise TrainingFailed(self._problems[0][0], message)

    def _check(self, listing: Listing) -> None:
        if not listing.class_names:
            self._missing(
                f"{listing.folder}: no sub-folders; each class needs one, <class>/<image>.png."
            )
        elif not listing.files:
            self._missing(f"{listing.folder}: no images (.png .jpg .jpeg .gif .bmp) in any class.")
        elif listing.missing:
            self._missing(f"{listing.folder}: no folder for the classes {_names(listing.missing)}.")
        if unwritable := tuple(name for name in listing.class_names if printable(name) != name):
            message = (
                f"{listing.folder}: these names of classes cannot be printed: {_names(unwritable)}."
            )
            self._problems.append((FailureCode.DATA_INVALID, message))
        if away := outside(listing, self._data_root):
            message = f"{listing.folder}: links lead out of the data root: {_names(away)}."
            self._problems.append((FailureCode.PATH_REFUSED, message))

    def _missing(self, message: str) -> None:
        self._problems.append((FailureCode.DATA_MISSING, message))


def _refuse_bad_files(sources: dict[Path, Source]) -> None:
    lines = [
        printable(f"{folder.name}/{file}: {why}")
        for folder, source in sources.items()
        for file, why in source.bad.items()
    ]
    if not lines:
        return
    names = sorted(lines)
    rest = ""
    if len(names) > _NAMED:
        print("\n".join(names))
        rest = f"\n... and {len(names) - _NAMED} more, all in the log"
    raise TrainingFailed(
        FailureCode.DATA_INVALID,
        f"{len(names)} {'file' if len(names) == 1 else 'files'} cannot be decoded as images; "
        "mend or remove:\n" + "\n".join(names[:_NAMED]) + rest,
    )


def _images(spec: Spec, listing: Listing, pixels: Pixels) -> Images:
    labels = np.asarray(listing.labels, np.int32)
    targets: NDArray[Any] = labels
    if spec.data.label_mode == "binary":
        targets = labels.astype(np.float32)[:, None]
    elif spec.data.label_mode == "categorical":
        targets = np.eye(len(listing.class_names), dtype=np.float32)[labels]
    return Images(pixels, labels, targets)


def _weighted(images: Images, spec: Spec, classes: tuple[str, ...]) -> Images:
    """With the weights that `fit` gives each image by its class."""
    written = spec.fit.class_weight
    if written is None:
        return images
    counts = np.bincount(images.labels, minlength=len(classes))
    by_label = class_weights(written, classes, counts)
    told = ", ".join(f"{name} {by_label.get(i, 1.0):g}" for i, name in enumerate(classes))
    print(f"class_weight: {told}")
    weights = [by_label.get(int(label), 1.0) for label in images.labels]
    return replace(images, weights=np.asarray(weights, np.float32))


def class_weights(
    written: ClassWeights | Literal["balanced"],
    classes: tuple[str, ...],
    counts: NDArray[np.int64],
) -> dict[int, float]:
    """Weights by label.

    Args:
        written: of the spec. `balanced` is images / (classes * images of the class), as in
            scikit-learn's `compute_class_weight`: all classes count the same together.
        classes: names in the order of their labels.
        counts: images of each class, shape (classes,). Classes without any have no part in this.

    """
    if isinstance(written, ClassWeights):
        return written.by_label(classes)
    present = np.flatnonzero(counts)
    return {int(i): float(counts.sum() / (len(present) * counts[i])) for i in present}


def _fingerprint(spec: Spec, listings: dict[str, Listing], sources: dict[Path, Source]) -> str:
    """The same data have the same fingerprint wherever they lie and however they are split."""
    return fingerprint(
        (role(spec, name), file, sources[listing.folder].digests[file])
        for name, listing in listings.items()
        for file in listing.files
    )


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(printable(name) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return shown + more
