"""Finds what is wrong with one folder of images.

The commands, the client and the job all use these messages, so they say the same about a folder.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fornada.data.folders import EXTENSIONS, Listing, count_images, outside
from fornada.db.states import FailureCode
from fornada.spec.wording import did_you_mean, listed, printable, sentence

# The most common reason for a path that does not exist.
_RELATIVE_PATHS = (
    "A relative path starts from the folder in which you run the command that checks or submits "
    "the spec."
)
# A message names at most this many files or classes.
_NAMED = 100
# Endings of images that Keras does not list. Nobody expects a text file to be read, but these.
_OTHER_IMAGES = (
    ".avif",
    ".heic",
    ".heif",
    ".jfif",
    ".jp2",
    ".jxl",
    ".pbm",
    ".pgm",
    ".pnm",
    ".ppm",
    ".svg",
    ".tga",
    ".tif",
    ".tiff",
    ".webp",
)
_NOT_NAMED = "data.class_names does not name"


@dataclass(frozen=True)
class FolderFinding:
    """One problem or warning about a folder.

    Attributes:
        message: begins with the folder. All lines but the first are indented.
        code: failure code of a job with this folder; None for a warning.
    """

    message: str
    code: FailureCode | None = None


def cannot_be_listed(place: Path, error: OSError) -> FolderFinding:
    """The problem of a folder that could not be listed."""
    hint = ""
    if isinstance(error, FileNotFoundError):
        hint = did_you_mean(place.name, _siblings(place))
    return FolderFinding(
        f"{_name(place)}: this folder cannot be read: {error.strerror}.\n  {_RELATIVE_PATHS}{hint}",
        FailureCode.DATA_MISSING,
    )


def in_training_folder(listing: Listing, root: Path, *, named: bool) -> Iterator[FolderFinding]:
    """Problems and warnings of the training folder. Each class needs images in it.

    Args:
        listing: of the folder.
        root: the data root.
        named: whether the spec names the classes; otherwise this folder decides them.
    """
    if _has_no_class_folder(listing):
        yield _no_classes(listing, root)
        return
    yield from _in_any_folder(listing, root)
    if listing.extra and named:
        yield _extra(listing, _NOT_NAMED)
    if len(listing.class_names) == 1:
        yield _only_one(listing, root)
    if empty := _empty(listing):
        yield _problem(listing, _no_images(listing, empty))
    found = [name for name in listing.class_names if name not in listing.missing]
    yield from (_unwritable(listing, name) for name in found if printable(name) != name)
    yield from _twin_classes(listing, found)


def in_evaluation_folder(
    listing: Listing, root: Path, *, known: bool, named: bool
) -> Iterator[FolderFinding]:
    """Problems and warnings of a folder for validation or test.

    Args:
        listing: of the folder, with the classes of training.
        root: the data root.
        known: whether the classes of training are known; otherwise the listing has those of this
            folder.
        named: whether the spec names the classes.
    """
    if _has_no_class_folder(listing):
        yield _no_classes(listing, root)
        return
    yield from _in_any_folder(listing, root)
    renamed = _renamed(listing).values()
    if any(name not in renamed for name in listing.extra):
        yield _extra(listing, _NOT_NAMED if named else "training does not have")
    if not (empty := _empty(listing)):
        return
    message = _no_images(listing, empty)
    if not listing.files:
        yield _problem(listing, message)
    elif known:
        yield _warning(listing, message.partition("\n")[0])


def _in_any_folder(listing: Listing, root: Path) -> Iterator[FolderFinding]:
    """Problems and warnings that any folder with folders of classes may have."""
    if loose := _loose(listing):
        what = f"{_images(len(loose))} directly in it, such as {printable(loose[0])}"
        yield _warning(listing, f"{what}: ignored, because they are not in the folder of a class.")
    if others := _other_images(listing):
        yield _warning(listing, _not_read(others))
    if listing.missing:
        yield _problem(listing, _no_folders(listing))
    if listing.unreadable:
        yield _problem(
            listing,
            f"these folders in it cannot be read: {_names(listing.unreadable)}.\n"
            "  Expected folders that this user may list.",
        )
    if away := outside(listing, root):
        yield _problem(
            listing,
            f"links lead out of the data root: {_names(away)}.\n"
            "  Expected files that lie under the data root.",
            FailureCode.PATH_REFUSED,
        )


def _has_no_class_folder(listing: Listing) -> bool:
    """Whether there is no sub-folder at all: neither of an expected class nor of another one."""
    return len(listing.missing) == len(listing.class_names) and not listing.extra


def _loose(listing: Listing) -> list[str]:
    """Images directly in the folder, beside the folders of the classes."""
    return [
        name for name in listing.ignored if "/" not in name and name.lower().endswith(EXTENSIONS)
    ]


def _other_images(listing: Listing) -> list[str]:
    """Images of kinds that Keras does not list, except those of classes that have no other."""
    return [
        name
        for name in listing.ignored
        if name.lower().endswith(_OTHER_IMAGES) and name.split("/", 1)[0] not in listing.empty
    ]


def _not_read(others: Sequence[str]) -> str:
    kinds = Counter(PurePosixPath(name).suffix.lower() for name in others)
    counted = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    return (
        f"{_images(len(others))} ignored ({counted}), such as {printable(others[0])}: only files "
        f"with names that end in {sentence(EXTENSIONS)} are read."
    )


def _empty(listing: Listing) -> list[str]:
    """Classes without images, except those whose folders could not be read."""
    unknown = {path.split("/", 1)[0] for path in listing.unreadable}
    return [name for name in listing.empty if name not in unknown]


def _extra(listing: Listing, lacks: str) -> FolderFinding:
    """The warning about sub-folders that are not classes.

    Args:
        listing: with extra sub-folders.
        lacks: the reason, as a sentence without its object: "training does not have".
    """
    renamed = _renamed(listing).values()
    extra = [name for name in listing.extra if name not in renamed]
    shown = [_extra_class(listing, name) for name in extra[:_NAMED]]
    more = f" and {len(extra) - _NAMED} more" if len(extra) > _NAMED else ""
    them = "it" if len(extra) == 1 else "them"
    return _warning(listing, f"extra: {', '.join(shown)}{more}: ignored, because {lacks} {them}.")


def _extra_class(listing: Listing, name: str) -> str:
    images = _images(count_images(listing.folder / name))
    for other in listing.class_names:
        if how := _difference(name, other):
            alike = f'differs from "{_spelled(other, how)}" only in {how}'
            return f"{_spelled(name, how)} ({images}; {alike})"
    return f"{printable(name)} ({images})"


def _renamed(listing: Listing) -> dict[str, str]:
    """For classes without a folder: the extra folder that is probably meant, by class."""
    return {
        name: other
        for name in listing.missing
        for other in reversed(listing.extra)
        if _difference(name, other)
    }


def _twin_classes(listing: Listing, found: Sequence[str]) -> Iterator[FolderFinding]:
    """Warnings about two classes with nearly the same name: one class is probably meant."""
    seen: dict[str, str] = {}
    for name in found:
        other = seen.setdefault(_fold(name), name)
        if other == name:
            continue
        if how := _difference(name, other):
            both = f'"{_spelled(other, how)}" and "{_spelled(name, how)}"'
            yield _warning(listing, f"{both} are two classes, but differ only in {how}.")


def _no_classes(listing: Listing, root: Path) -> FolderFinding:
    loose = len(_loose(listing))
    expected = "\n  Expected one sub-folder for each class: <class>/<image>.png."
    if not loose:
        return _problem(listing, f"no sub-folders.{expected}")
    return _problem(
        listing,
        f"no sub-folders, but {_images(loose)} directly in it.{expected}{_above(listing, root)}",
    )


def _only_one(listing: Listing, root: Path) -> FolderFinding:
    (only,) = listing.class_names
    below = _sub_folders(listing.folder / only)
    meant = _above(listing, root)
    if len(below) > 1 and all(file.count("/") > 1 for file in listing.files):
        meant = f'\n  Did you mean the folder below, "{_name(listing.folder / only)}"?'
    return _problem(
        listing,
        f"{printable(only)} is the only class folder.\n"
        f"  Expected two or more: a classifier needs two classes.{meant}",
        FailureCode.DATA_INVALID,
    )


def _above(listing: Listing, root: Path) -> str:
    """A hint to the folder above; empty if that lies outside the data root."""
    above = listing.folder.parent
    if listing.folder == root.resolve() or above == listing.folder:
        return ""
    return f'\n  Did you mean the folder above, "{_name(above)}"?'


def _no_images(listing: Listing, empty: Sequence[str]) -> str:
    message = f"no images in the classes {_names(empty)}."
    inside = [file for file in listing.ignored if file.split("/", 1)[0] in empty]
    endings = sorted({PurePosixPath(file).suffix.lower() for file in inside} - {""})
    hint = f"\n  Expected files with names that end in {sentence(EXTENSIONS)}"
    return f"{message}{hint}{f'; found {listed(endings)}' if endings else ''}."


def _no_folders(listing: Listing) -> str:
    lines = [f"no folder for the classes {_names(listing.missing)}."]
    for name, other in _renamed(listing).items():
        how = _difference(name, other) or ""
        differ = f'"{_spelled(other, how)}" and "{_spelled(name, how)}" differ only in {how}'
        lines.append(f"  {differ}: rename the first to the second.")
    return "\n".join(lines)


def _unwritable(listing: Listing, name: str) -> FolderFinding:
    why = "contains characters that cannot be printed" if _is_utf8(name) else "is not UTF-8"
    return _problem(
        listing,
        f'the name of the class folder "{printable(name)}" {why}.\n  Rename it.',
        FailureCode.DATA_INVALID,
    )


_CASE, _FORM, _SPACES = "upper and lower case", "Unicode form (NFC or NFD)", "spaces"
# In what two names may differ and still look the same; each with a function that removes this
# difference.
_FOLDS: dict[str, Callable[[str], str]] = {
    _CASE: str.casefold,
    _FORM: lambda name: unicodedata.normalize("NFC", name),
    _SPACES: lambda name: "".join(name.split()),
    f"{_CASE}, {_SPACES} or {_FORM}": lambda name: "".join(
        unicodedata.normalize("NFC", name.casefold()).split()
    ),
}


def _difference(name: str, other: str) -> str | None:
    """In what two names differ, if they are nearly the same; None if they differ in more."""
    return next((how for how, fold in _FOLDS.items() if fold(name) == fold(other)), None)


def _fold(name: str) -> str:
    """A text that is equal for all names that are nearly the same."""
    return list(_FOLDS.values())[-1](name)


def _spelled(name: str, how: str) -> str:
    """A name for a message. Two Unicode forms look the same, so these are shown as escapes."""
    return name.encode("unicode_escape").decode() if _FORM in how else printable(name)


def _problem(
    listing: Listing, what: str, code: FailureCode = FailureCode.DATA_MISSING
) -> FolderFinding:
    return FolderFinding(f"{_name(listing.folder)}: {what}", code)


def _warning(listing: Listing, what: str) -> FolderFinding:
    return FolderFinding(f"{_name(listing.folder)}: {what}")


def _name(place: Path) -> str:
    return printable(str(place))


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(printable, names[:_NAMED])) + more


def _images(count: int) -> str:
    return f"{count:,} image" if count == 1 else f"{count:,} images"


def _is_utf8(name: str) -> bool:
    # `os.fsdecode` turns bytes that are not UTF-8 into surrogates.
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in name)


def _siblings(place: Path) -> list[str]:
    return _sub_folders(place.parent)


def _sub_folders(place: Path) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []
