"""Lists a folder of images as `keras.utils.image_dataset_from_directory` does, without Keras.

Same classes in the same order, same files, same shuffle and split for the same seed
(`keras/src/utils/dataset_utils.py`: `index_directory`, `get_training_or_validation_split`);
and what Keras keeps to itself: which files and classes it would pass over.
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

# Words of state in a Mersenne Twister, and the multiplier of its scalar seeding.
_MT_WORDS = 624
_MT_MULTIPLIER = 1_812_433_253
_UINT32 = 0xFFFF_FFFF


@dataclass(frozen=True)
class Listing:
    """The images of one folder, in an order, with their labels.

    Attributes:
        folder: the folder with one sub-folder a class.
        class_names: classes in the order of their labels.
        files: paths relative to `folder`, `class/name.png`, separated by `/`.
        labels: index into `class_names` of each file.
        ignored: what lies in the folder and is no image: files of other kinds, hidden folders,
            links to folders inside a class (these end in `/`).
        missing: classes asked for that have no sub-folder.
        extra: sub-folders that are none of the classes asked for.
        empty: classes whose sub-folder holds no image.
        links: files that are links; of the whole folder, whatever part of it is listed.
        unreadable: folders of classes, and below, whose entries cannot be read.
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
        """How many files each class has, every class named."""
        found = Counter(self.labels)
        return {name: found[label] for label, name in enumerate(self.class_names)}


def list_images(folder: Path, class_names: Sequence[str] | None = None) -> Listing:
    """List a folder's images, class by class, each class in alphanumeric order.

    Hidden sub-folders are no classes; inside a class every folder is walked, hidden ones too,
    but no link to a folder is followed. All of this is Keras's behaviour.

    Args:
        folder: the folder with one sub-folder a class.
        class_names: the classes and their order; by default every sub-folder, sorted.

    Raises:
        OSError: the folder is missing, is no folder, or cannot be read.
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
    """What lies under one class folder, as `name/...`, in Keras's order."""

    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def count_images(folder: Path) -> int:
    """How many images lie in and below one folder of a class."""
    return len(_walk(folder, folder.name).images)


def _walk(folder: Path, name: str) -> _Walked:
    walked = _Walked()
    # Keras sorts the walk by the path of each folder as a string, not level by level.
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
    """Every folder under one, with its entries sorted; as `os.walk`, which keeps no entries.

    None stands for entries that cannot be read: Keras passes over such a folder in silence.
    An entry knows from its folder what it is: to ask 60,000 files takes a fifth of a second.
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
    """The files that Keras takes for training or for validation.

    Where `validation_split` of the files is less than one file, Keras trains on none and
    validates on all; so does this: callers look at `validation_count` first.

    Args:
        listing: from `list_images`, not shuffled.
        validation_split: fraction of the files, between 0 and 1, both excluded.
        which: the part to return; validation is the end of the list.
        seed: of the shuffle.
        shuffle: whether the files are shuffled before they are split.
    """
    source = shuffled(listing, seed) if shuffle else listing
    positions = list(range(len(source.files)))
    count = validation_count(len(positions), validation_split)
    return _pick(source, positions[:-count] if which == "training" else positions[-count:])


def validation_count(files: int, validation_split: float) -> int:
    """How many of so many files Keras sets aside for validation."""
    return int(validation_split * files)


def outside(listing: Listing, root: Path) -> tuple[str, ...]:
    """Files that resolve, through a link, to a place outside `root`.

    Args:
        listing: of a folder under `root`.
        root: the data root.
    """
    real_root = root.resolve()
    away = {name for name in listing.class_names if _leaves(listing.folder / name, real_root)}
    leading = {file for file in listing.links if _leaves(listing.folder / file, real_root)}
    if not away and not leading:
        return ()
    return tuple(file for file in listing.files if file in leading or file.split("/", 1)[0] in away)


def _leaves(path: Path, real_root: Path) -> bool:
    # `Path.resolve` raises where a link leads to itself.
    return not Path(os.path.realpath(path)).is_relative_to(real_root)


def _pick(listing: Listing, positions: Sequence[int]) -> Listing:
    return replace(
        listing,
        files=tuple(listing.files[i] for i in positions),
        labels=tuple(listing.labels[i] for i in positions),
    )


def _swaps(count: int, seed: int) -> Iterator[tuple[int, int]]:
    """The exchanges of `numpy.random.RandomState(seed).shuffle` on `count` items."""
    draw = _mersenne_twister(seed).getrandbits
    for last in range(count - 1, 0, -1):
        # numpy's legacy interval: masked bits, drawn again while they are too large.
        mask = (1 << last.bit_length()) - 1
        chosen = draw(32) & mask
        while chosen > last:
            chosen = draw(32) & mask
        yield last, chosen


def _mersenne_twister(seed: int) -> random.Random:
    """Python's generator in the state that numpy's scalar seeding gives its own.

    Raises:
        ValueError: numpy takes no such seed.
    """
    if not 0 <= seed <= _UINT32:
        raise ValueError(f"a seed lies between 0 and {_UINT32}, not {seed}")
    words = [seed]
    for position in range(1, _MT_WORDS):
        last = words[-1]
        words.append((_MT_MULTIPLIER * (last ^ (last >> 30)) + position) & _UINT32)
    generator = random.Random()  # noqa: S311 - an order of images, no secret
    generator.setstate((3, (*words, _MT_WORDS), None))
    return generator
