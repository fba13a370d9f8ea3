"""The three sets of a job: training, validation and test, all with the classes of training."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fornada.data import subsets
from fornada.data.fingerprint import fingerprint, role
from fornada.data.folders import Listing
from fornada.data.inspection import inspect
from fornada.db.states import FailureCode
from fornada.settings import Settings
from fornada.spec import Role, Spec
from fornada.spec.values import ClassWeights
from fornada.spec.wording import printable
from fornada.worker.messages import DataSummary
from fornada.worker.trainer.data.decode import Decoder, Observer, ReaderArguments
from fornada.worker.trainer.data.pack import IN_MEMORY_BYTES, Packing, Source
from fornada.worker.trainer.data.pixels import Pixels, Rows
from fornada.worker.trainer.failures import TrainingFailed
from fornada.worker.trainer.process.memory import share

# Most files that one message names. The log names all bad files, but not all ignored files.
_NAMED = 100


@dataclass(frozen=True, eq=False)
class Images:
    """One set in its fixed order. Two objects are never equal.

    Attributes:
        pixels: shape (count, height, width, channels), uint8 or float32; an array, or a source
            that is read block by block.
        labels: index of each image's class, int32, shape (count,).
        targets: targets for the loss, by label mode: int32 (count,), float32 (count, 1) for
            binary, or one-hot float32 (count, classes) for categorical.
        weights: weight of each image in the loss, float32 (count,); None without class weights.
    """

    pixels: Pixels
    labels: NDArray[np.int32]
    targets: NDArray[Any]
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def example(self) -> tuple[NDArray[Any], ...]:
        """A batch of one image, as the model gets it."""
        weights = () if self.weights is None else (self.weights[:1],)
        return self.pixels[np.arange(1)].astype(np.float32), self.targets[:1], *weights


@dataclass(frozen=True)
class Sets:
    """The data of a job.

    Attributes:
        classes: class names in the order of their labels.
        train: the training set.
        validation: the validation set; None without one.
        test: the test set; None without one.
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
        """The summary that the supervisor gets."""
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
        data_root: folder that the spec's paths are relative to.
        settings: the home, which holds the packs, and limits.
        check: called between groups of images; an exception from it ends the reading.

    Raises:
        TrainingFailed: as in `list_sets`; or DATA_INVALID, naming the files that are not images.
    """
    listings = list_sets(spec, data_root)
    sources = read_sources(spec, listings, settings, Observer(check, _Progress()))
    sets: dict[Role, Images] = {
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
    spec: Spec, listings: Mapping[Role, Listing], settings: Settings, watch: Observer
) -> dict[Path, Source]:
    """Read the images of each folder once, even if several sets use the folder.

    Args:
        spec: its `data` section.
        listings: the files of each set, from `list_sets`.
        settings: the home, which holds the packs, and limits.
        watch: called while files are read.

    Raises:
        TrainingFailed: DATA_INVALID, naming the files that are not images.
    """
    data = spec.data
    look = ReaderArguments(
        data.image_size, data.color_mode, data.interpolation, data.crop_to_aspect_ratio
    )
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
    """Prints a line into the log every few seconds."""

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
    # A copy in the listing's order is read faster than `Rows`, which looks up each position first.
    if isinstance(source.pixels, np.ndarray) and size <= share(IN_MEMORY_BYTES):
        return source.pixels[positions]
    return Rows(source.pixels, positions)


def list_sets(spec: Spec, data_root: Path) -> dict[Role, Listing]:
    """The files of each set that the spec has: train, validation, test.

    The log names ignored files and shows warnings about probable mistakes.

    Raises:
        TrainingFailed: DATA_MISSING for missing folders, classes or images; PATH_REFUSED for
            paths outside the data root; DATA_INVALID for unusable classes, for example only one;
            SPEC_INVALID for values that do not fit the classes. One message names all problems;
            the code is that of the first.
    """
    found = inspect(spec, data_root)
    sets = {} if found.problems else subsets.sets(spec, found.listings)
    for listing in found.listings.values():
        _describe(listing)
    for warning in [*found.warnings, *(subsets.warnings(spec, sets) if sets else ())]:
        print(f"warning: {warning.what}")
    if found.problems:
        message = "\n".join(problem.what for problem in found.problems)
        raise TrainingFailed(found.problems[0].code, message)
    return sets


def _describe(listing: Listing) -> None:
    folder = printable(str(listing.folder))
    if listing.ignored:
        print(f"{folder}: ignored: {_names(listing.ignored)}")
    print(f"{folder}: {len(listing.files)} images in {len(listing.class_names)} classes")


def _refuse_bad_files(sources: dict[Path, Source]) -> None:
    named = [folder.name for folder in sources]
    lines = [
        # Two folders of the same name are shown with their whole paths.
        f"{printable(f'{folder.name if named.count(folder.name) == 1 else folder}/{file}')}: {why}"
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
        "repair or remove:\n" + "\n".join(names[:_NAMED]) + rest,
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
    """Add the weights that the spec's `fit.class_weight` gives the images."""
    written = spec.fit.class_weight
    if written is None:
        return images
    counts = np.bincount(images.labels, minlength=len(classes))
    by_label = class_weights(written, classes, counts)
    shown = ", ".join(f"{name} {by_label.get(i, 1.0):g}" for i, name in enumerate(classes))
    print(f"class_weight: {shown}")
    weights = [by_label.get(int(label), 1.0) for label in images.labels]
    return replace(images, weights=np.asarray(weights, np.float32))


def class_weights(
    written: ClassWeights | Literal["balanced"],
    classes: tuple[str, ...],
    counts: NDArray[np.int64],
) -> dict[int, float]:
    """Weight of each class, by its label.

    Args:
        written: the spec's value. `balanced` means images / (classes * images of the class), as
            in scikit-learn's `compute_class_weight`, so that every class has the same total.
        classes: class names in the order of their labels.
        counts: number of images of each class, shape (classes,). `balanced` ignores classes
            without images.
    """
    if isinstance(written, ClassWeights):
        return written.by_label(classes)
    present = np.flatnonzero(counts)
    return {int(i): float(counts.sum() / (len(present) * counts[i])) for i in present}


def _fingerprint(spec: Spec, listings: Mapping[Role, Listing], sources: dict[Path, Source]) -> str:
    """Fingerprint of the data. It does not depend on the folders' location or on the split."""
    return fingerprint(
        (role(spec, name), file, sources[listing.folder].digests[file])
        for name, listing in listings.items()
        for file in listing.files
    )


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(printable(name) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return shown + more
