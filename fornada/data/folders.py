"""Lists a folder of images as `keras.utils.image_dataset_from_directory` does, without Keras.

It gives the same classes in the same order, the same files, and for the same seed the same shuffle
and split (`keras/src/utils/dataset_utils.py`: `index_directory`,
`get_training_or_validation_split`). In addition it reports the files and classes that Keras would
ignore without a message.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

# Keras's ALLOWLIST_FORMATS, compared in lower case.
EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")

# The number of words in the state of a Mersenne Twister, and the constant that seeds them from one
# number.
_MT_WORDS = 624
_MT_MULTIPLIER = 1_812_433_253
_UINT32 = 0xFFFF_FFFF


@dataclass(frozen=True)
class Listing:
    """The images of one folder in a certain order, with their labels.

    Attributes:
        folder: the folder, with one sub-folder for each class.
        class_names: classes in the order of their labels.
        files: paths relative to `folder`, `class/name.png`, separated by `/`.
        labels: for each file, the index of its class in `class_names`.
        ignored: files that are not images, and folders that are not read; folders end in `/`.
            These are hidden folders, and links to folders inside a class.
        missing: requested classes without a sub-folder.
        extra: sub-folders that are not requested classes.
        empty: classes whose sub-folder has no image.
        links: image files that are symbolic links; also those that a subset leaves out.
        unreadable: folders of classes, and folders in them, that cannot be listed.
    """

    folder: Path
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    labels: tuple[int, ...]
    ignored: tuple[str, ...] = field(default=(), repr=False)
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    links: frozenset[str] = field(default=frozenset(), repr=False)
    unreadable: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of files of each class, also for classes without files."""
        found = Counter(self.labels)
        return {name: found[label] for label, name in enumerate(self.class_names)}


def list_images(folder: Path, class_names: Sequence[str] | None = None) -> Listing:
    """List the images of a folder, class by class, each class in alphanumeric order.

    As in Keras, a hidden sub-folder is not a class. Inside a class all folders are read, also
    hidden ones, but links to folders are not followed.

    Args:
        folder: the folder, with one sub-folder for each class.
        class_names: the classes and their order; default: every sub-folder, sorted.

    Raises:
        OSError: the folder does not exist, is not a folder, or cannot be read.
    """
    with os.scandir(folder) as entries:
        found = {entry.name: _is_folder(entry) for entry in entries}
    classes = sorted(name for name, is_folder in found.items() if is_folder and name[0] != ".")
    wanted = classes if class_names is None else list(class_names)
    others = sorted(set(found) - set(classes))
    ignored = [f"{name}/" if found[name] else name for name in others]
    files: list[str] = []
    labels: list[int] = []
    links: list[str] = []
    unreadable: list[str] = []
    for label, name in enumerate(wanted):
        if name not in classes:
            continue
        walked = _walk(folder / name, name)
        files += walked.images
        labels += [label] * len(walked.images)
        ignored += walked.others
        links += walked.links
        unreadable += walked.unreadable
    filled = set(labels)
    return Listing(
        folder=folder,
        class_names=tuple(wanted),
        files=tuple(files),
        labels=tuple(labels),
        ignored=tuple(ignored),
        links=frozenset(links),
        unreadable=tuple(unreadable),
        missing=tuple(name for name in wanted if name not in classes),
        extra=tuple(name for name in classes if name not in wanted),
        empty=tuple(n for i, n in enumerate(wanted) if n in classes and i not in filled),
    )


@dataclass
class _Walked:
    """The content of the folder of one class: paths `name/...` in Keras's order."""

    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def count_images(folder: Path) -> int:
    """Number of images in the folder of one class, with all its sub-folders."""
    return len(_walk(folder, folder.name).images)


def _walk(folder: Path, name: str) -> _Walked:
    walked = _Walked()
    # Keras sorts the folders by their whole paths as strings, not level by level.
    for path, entries in sorted(_folders(folder), key=lambda step: step[0]):
        prefix = name + path[len(str(folder)) :]
        if entries is None:
            walked.unreadable.append(prefix)
            continue
        folders = {entry.name for entry in entries if _is_folder(entry)}
        for entry in entries:
            if entry.name not in folders:
                image = entry.name.lower().endswith(EXTENSIONS)
                (walked.images if image else walked.others).append(f"{prefix}/{entry.name}")
                if image and entry.is_symlink():
                    walked.links.append(f"{prefix}/{entry.name}")
        links = [entry.name for entry in entries if entry.name in folders and entry.is_symlink()]
        walked.others += [f"{prefix}/{link}/" for link in links]
    return walked


def _folders(folder: Path) -> Iterator[tuple[str, list["os.DirEntry[str]"] | None]]:
    """The folder and all folders in it, each with its sorted entries.

    None instead of entries: the folder cannot be read. Keras ignores it without a message.
    `os.walk` would return only names. An `os.DirEntry` already knows whether it is a folder; to ask
    the file system about 60,000 files would take a fifth of a second.
    """
    waiting = [str(folder)]
    while waiting:
        path = waiting.pop()
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            yield path, None
            continue
        yield path, entries
        waiting += [e.path for e in entries if _is_folder(e) and not e.is_symlink()]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def shuffled(listing: Listing, seed: int) -> Listing:
    """The same files in the order in which Keras shuffles them.

    Args:
        listing: in any order.
        seed: 0 to 2**32 - 1, as `numpy.random.RandomState` takes it.
    """
    order = list(range(len(listing.files)))
    for last, chosen in _swaps(len(order), seed):
        order[last], order[chosen] = order[chosen], order[last]
    return _pick(listing, order)


def subset(
    listing: Listing,
    validation_split: float,
    which: Literal["training", "validation"],
    seed: int,
    shuffle: bool,
) -> Listing:
    """The files that Keras uses for training or for validation.

    If `validation_split` of the files is less than one file, Keras trains on no file and validates
    on all files, and this function does the same. Callers check `validation_count` first.

    Args:
        listing: from `list_images`, not shuffled.
        validation_split: share of the files, between 0 and 1, both excluded.
        which: the part to return; validation is the end of the list.
        seed: of the shuffle.
        shuffle: whether the files are shuffled before they are split.
    """
    source = shuffled(listing, seed) if shuffle else listing
    positions = list(range(len(source.files)))
    count = validation_count(len(positions), validation_split)
    return _pick(source, positions[:-count] if which == "training" else positions[-count:])


def validation_count(files: int, validation_split: float) -> int:
    """Number of files that Keras uses for validation, out of `files`."""
    return int(validation_split * files)


def outside(listing: Listing, root: Path) -> tuple[str, ...]:
    """Files that lie outside `root` because of a symbolic link.

    Args:
        listing: of a folder under `root`.
        root: the data root.
    """
    real_root = root.resolve()
    classes = {name for name in listing.class_names if _leaves(listing.folder / name, real_root)}
    links = {file for file in listing.links if _leaves(listing.folder / file, real_root)}
    if not classes and not links:
        return ()
    return tuple(f for f in listing.files if f in links or f.split("/", 1)[0] in classes)


def _leaves(path: Path, real_root: Path) -> bool:
    # Not `Path.resolve`: it raises an error for a link that leads to itself.
    return not Path(os.path.realpath(path)).is_relative_to(real_root)


def _pick(listing: Listing, positions: Sequence[int]) -> Listing:
    return replace(
        listing,
        files=tuple(listing.files[i] for i in positions),
        labels=tuple(listing.labels[i] for i in positions),
    )


def _swaps(count: int, seed: int) -> Iterator[tuple[int, int]]:
    """The swaps that `numpy.random.RandomState(seed).shuffle` makes in a list of `count` items."""
    draw = _mersenne_twister(seed).getrandbits
    for last in range(count - 1, 0, -1):
        # As numpy's legacy generator: it masks the bits, and draws again while they are too large.
        mask = (1 << last.bit_length()) - 1
        chosen = draw(32) & mask
        while chosen > last:
            chosen = draw(32) & mask
        yield last, chosen


def _mersenne_twister(seed: int) -> random.Random:
    """Python's random generator in the same state as `numpy.random.RandomState(seed)`.

    Raises:
        ValueError: numpy does not accept this seed.
    """
    if not 0 <= seed <= _UINT32:
        raise ValueError(f"a seed lies between 0 and {_UINT32}, not {seed}")
    words = [seed]
    for position in range(1, _MT_WORDS):
        last = words[-1]
        words.append((_MT_MULTIPLIER * (last ^ (last >> 30)) + position) & _UINT32)
    generator = random.Random()  # noqa: S311 - for the order of images, not for a secret
    generator.setstate((3, (*words, _MT_WORDS), None))
    return generator
