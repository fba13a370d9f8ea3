"""A name for the content of a data set, the same wherever its files lie and however it is split.

The trainer makes it of what it decodes, the client of the files: both by the lines of this module.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from fornada.data.digests import Digests, stamp
from fornada.data.folders import Listing, list_images
from fornada.data.subsets import taken
from fornada.errors import DataUnreadable
from fornada.settings import Settings
from fornada.spec import PathRefused, Role, Spec
from fornada.spec.paths import resolve


def digest(content: bytes) -> str:
    """Size and sha256 of one file, as they stand in the lines of `fingerprint`."""
    return f"{len(content)} {hashlib.sha256(content).hexdigest()}"


def role(spec: Spec, name: str) -> str:
    """The folder that a set is taken from: both parts of a split are the training folder."""
    return "train" if spec.data.validation_split and name == "validation" else name


def fingerprint(files: Iterable[tuple[str, str, str]]) -> str:
    """The sha256, hexadecimal, over all files in any order.

    Args:
        files: of each its role, its path `class/name.png`, its `digest`.
    """
    lines = sorted(f"{part}/{file} {found}\n" for part, file, found in files)
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def of_spec(spec: Spec, settings: Settings) -> str:
    """The fingerprint of a spec's data, read here, without decoding an image.

    Args:
        spec: its `data` section.
        settings: say what its paths are relative to, and which home remembers digests.
    Raises:
        DataUnreadable: a folder or a file of it cannot be read here.
    """
    try:
        return fingerprint(_files(_listings(spec, settings.data_root_path), settings))
    except PathRefused as error:
        raise DataUnreadable(f"the data of this spec cannot be compared here: {error}") from error
    except OSError as error:
        raise DataUnreadable(
            f"the data of this spec cannot be read here: {error.filename}: {error.strerror}. "
            "Run this where they can be, or leave --needed out."
        ) from error


def _listings(spec: Spec, data_root: Path) -> Iterator[tuple[Role, Listing]]:
    class_names = spec.data.class_names
    # Train comes first, and whole where data.validation_split makes two sets of it: they are the
    # same files under the same role.
    for name, folder in spec.data.folders.items():
        listing = list_images(resolve(folder.folder, data_root), class_names)
        class_names = listing.class_names
        yield name, taken(spec, folder, listing)


def _files(
    listings: Iterable[tuple[Role, Listing]], settings: Settings
) -> Iterator[tuple[str, str, str]]:
    for name, listing in listings:
        digests = Digests(listing.folder, settings)
        known = digests.known(listing.files)
        for file in listing.files:
            found = known.get(file)
            if found is None:
                path = listing.folder / file
                status = path.stat()
                found = digest(_content(path, status))
                digests.add(file, stamp(status), found)
            yield name, file, found
        digests.save()


def _content(path: Path, status: os.stat_result) -> bytes:
    # A pipe that is named like an image would hold us here for ever.
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is no file of bytes", str(path))
    return path.read_bytes()
