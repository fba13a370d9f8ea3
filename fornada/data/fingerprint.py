"""The fingerprint of a data set: a hash of the content of its files.

It does not depend on where the files lie, or on how the set is split. The trainer computes it from
the files that it decodes, and the client from the files on its disk; both use this module.
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
    """Size in bytes and sha256 of one file, in the form that `fingerprint` uses."""
    return f"{len(content)} {hashlib.sha256(content).hexdigest()}"


def role(spec: Spec, name: str) -> str:
    """The role that a set has in `fingerprint`; both parts of a split have the role `train`."""
    return "train" if spec.data.validation_split and name == "validation" else name


def fingerprint(files: Iterable[tuple[str, str, str]]) -> str:
    """The sha256, hexadecimal, over all files. Their order does not matter.

    Args:
        files: for each file its role, its path `class/name.png`, and its `digest`.
    """
    lines = sorted(f"{part}/{file} {found}\n" for part, file, found in files)
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def of_spec(spec: Spec, settings: Settings) -> str:
    """The fingerprint of a spec's data, computed on this host without decoding images.

    Args:
        spec: its `data` section counts.
        settings: give the data root, and the home that stores digests.
    Raises:
        DataUnreadable: this host cannot read one of the folders or files.
    """
    try:
        return fingerprint(_files(_listings(spec, settings.data_root_path), settings))
    except PathRefused as error:
        raise DataUnreadable(f"the data of this spec cannot be compared here: {error}") from error
    except OSError as error:
        raise DataUnreadable(
            f"the data of this spec cannot be read here: {error.filename}: {error.strerror}. "
            "Run this on a host that can read them, or leave out --needed."
        ) from error


def _listings(spec: Spec, data_root: Path) -> Iterator[tuple[Role, Listing]]:
    class_names = spec.data.class_names
    # Train comes first. With data.validation_split it is not divided: both parts have the role
    # `train`, so their files together give the same fingerprint.
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
    # To read from a pipe with the name of an image would wait forever.
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return path.read_bytes()
