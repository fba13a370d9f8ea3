"""Reads how many pixels an image file claims to have, before a decoder allocates them.

It knows every format that TensorFlow decodes. Like TensorFlow it takes the format from the first
bytes, not from the file's name. It refuses only a file that no decoder could read, or that is too
large. The decoder finds all other errors.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from fornada.worker.trainer.data import jxl, webp

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_GIF = b"GIF8"
_BMP = b"BM"

# JPEG markers that are not followed by a length: TEM, RSTn, SOI.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
# Markers of a start of frame, which holds the size. C4, C8 and CC mean something else.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# End of the image, and start of a scan. The frame must come before them.
_END_MARKERS = frozenset({0xD9, 0xDA})
# TensorFlow refuses a BMP file with fewer bytes.
_BMP_BYTES = 32
# Size in bytes of the header of an OS/2 BMP file.
_OS2 = 12
# Formats that are not supported but often renamed: offset, bytes at that offset, name.
_UNSUPPORTED = (
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyp", "HEIC or video"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
)


class NoImage(Exception):  # a finding about a file, reported and never fatal alone
    """The reason, in a few words, why a file is not an image that can be decoded."""


class Frame(NamedTuple):
    """The start of frame of a JPEG file.

    Attributes:
        marker: kind of JPEG; 0xC0 is baseline.
        bits: bits of each colour of a pixel.
        height: in pixels.
        width: in pixels.
        components: number of colours of a pixel: 1 is grayscale, 4 is CMYK.
    """

    marker: int
    bits: int
    height: int
    width: int
    components: int


def pixels(content: bytes) -> int:
    """Most pixels that decoding this file would allocate; for a GIF, those of all frames.

    Args:
        content: the whole file.

    Raises:
        NoImage: the file is empty, has an unsupported format, or has no header.
    """
    if not content:
        raise NoImage("the file is empty")
    try:
        return _reader(content)(content)
    except (struct.error, IndexError):
        raise NoImage("the file ends inside its header") from None


def _reader(content: bytes) -> Callable[[bytes], int]:
    if content.startswith(_PNG):
        return _png
    if content.startswith(_JPEG):
        return _jpeg
    if content.startswith(_GIF):
        return _gif
    if content.startswith(_BMP):
        return _bmp
    if webp.is_webp(content):
        return webp.pixels
    if jxl.is_jxl(content):
        return jxl.pixels
    for at, signature, name in _UNSUPPORTED:
        if content.startswith(signature, at):
            raise NoImage(f"{name} files are not read; convert it to PNG or JPEG")
    raise NoImage("not a PNG, JPEG, GIF or BMP file")


def _png(content: bytes) -> int:
    at = len(_PNG)
    while True:
        length, kind = struct.unpack_from(">I4s", content, at)
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", content, at + 8)
            return int(width * height)
        if kind[:1].isupper():
            iphone = " (CgBI: written for iPhones only)" if kind == b"CgBI" else ""
            raise NoImage(f"no header at the beginning of the PNG file{iphone}")
        # libpng skips chunks that it does not know, even before the header.
        at += 12 + int(length)


def _bmp(content: bytes) -> int:
    if len(content) < _BMP_BYTES:
        raise NoImage("the file ends inside its header")
    # The height is negative when rows go from top to bottom.
    header, width, height = struct.unpack_from("<Iii", content, 14)
    claimed = abs(int(width) * int(height))
    # In an OS/2 header these are smaller numbers, and TensorFlow reads two of them as one. But it
    # never decodes more pixels than the file has bytes, and its error explains more than this
    # function could.
    return min(claimed, len(content)) if header == _OS2 else claimed


def _jpeg(content: bytes) -> int:
    frame = jpeg_frame(content)
    return frame.width * frame.height


def jpeg_frame(content: bytes) -> Frame:
    """The first frame of a JPEG file. Bytes between segments are skipped, as in libjpeg.

    Raises:
        NoImage: the file has no frame.
        IndexError: the file ends before the frame.
        struct.error: the file ends inside the frame.
    """
    at = 2
    while True:
        at = content.find(b"\xff", at)
        if at < 0:
            raise IndexError
        while content[at] == 0xFF:
            at += 1
        marker = content[at]
        at += 1
        if marker in _FRAME_MARKERS:
            return Frame(marker, *struct.unpack_from(">BHHB", content, at + 2))
        if marker in _END_MARKERS:
            raise NoImage("no frame in the JPEG file")
        if marker and marker not in _BARE_MARKERS:
            # A length counts its own two bytes. One that is smaller is taken as 2.
            at += max(2, int(struct.unpack_from(">H", content, at)[0]))


def _gif(content: bytes) -> int:
    frames = []
    # If the file is cut off, the decoder still gives the frames before the cut.
    with suppress(struct.error, IndexError):
        for frame in _gif_frames(content, 13 + _palette(content[10])):
            frames.append(frame)
    if not frames:
        raise NoImage("no frame in the GIF file")
    # The decoder reads every frame and draws all of them onto an image as wide as the widest and
    # as high as the highest. It does not use the screen size of the header.
    largest = max(w for w, _ in frames) * max(h for _, h in frames)
    return int(max(sum(w * h for w, h in frames), largest))


def _gif_frames(content: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Size of every frame. The decoder reads all frames, even to return only the first."""
    while True:
        if content[at] == 0x2C:
            width, height, flags = struct.unpack_from("<HHB", content, at + 5)
            yield width, height
            at = _after_blocks(content, at + 11 + _palette(flags))
        elif content[at] == 0x21:
            # giflib reads one block, even an empty one, and then all blocks up to an empty one.
            at = _after_blocks(content, at + 3 + content[at + 2])
        else:
            # The end of the file, or a byte that the decoder takes for it.
            return


def _palette(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(content: bytes, at: int) -> int:
    while content[at]:
        at += content[at] + 1
    return at + 1
