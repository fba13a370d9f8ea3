"""Reads an image file, and checks its size before a decoder gets it."""

import os
import stat
from typing import NamedTuple

from fornada.data.digests import Stamp, stamp
from fornada.data.fingerprint import digest
from fornada.worker.trainer.data.headers import NoImage, pixels

# The most bytes that a supported format needs for one pixel (16-bit RGBA), and for its header.
_BYTES_A_PIXEL = 8
_HEADER_BYTES = 1024**2
# Without O_NONBLOCK, opening a pipe that is named like an image would wait forever.
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class ImageFile(NamedTuple):
    """The bytes of a file whose header is that of an image.

    Attributes:
        content: all bytes of the file.
        pixels: number of pixels, by the file's header.
        digest: `size sha256`.
        stamp: stamp of the open file before it was read.
    """

    content: bytes
    pixels: int
    digest: str
    stamp: Stamp


def read(path: str, max_pixels: int) -> ImageFile:
    """Read a file.

    Args:
        path: path of the file.
        max_pixels: an image whose header claims more pixels is refused.

    Raises:
        NoImage: the file is not an image, or too large.
        OSError: the file cannot be read.
    """
    fd = os.open(path, _OPEN)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise NoImage("not a file")
        most = max_pixels * _BYTES_A_PIXEL + _HEADER_BYTES
        if status.st_size > most:
            raise NoImage(f"{status.st_size:,} bytes; at most {most:,} (FORNADA_MAX_IMAGE_PIXELS)")
        content = _whole(fd, status.st_size)
    finally:
        os.close(fd)
    count = pixels(content)
    if count > max_pixels:
        raise NoImage(f"{count:,} pixels; at most {max_pixels:,} (FORNADA_MAX_IMAGE_PIXELS)")
    return ImageFile(content, count, digest(content), stamp(status))


def _whole(fd: int, size: int) -> bytes:
    content = os.read(fd, size + 1)
    if len(content) == size:
        return content
    parts = [content]
    while part := os.read(fd, size + 1):
        parts.append(part)
    return b"".join(parts)
