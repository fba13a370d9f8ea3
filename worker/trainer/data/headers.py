"""Reads how many pixels an image file claims, before a decoder allocates them.

Every format that TensorFlow decodes, told by the first bytes as TensorFlow tells it, whatever the
file is called. A file is refused here only where no decoder could read it, or by its size: all
else is for the decoder to judge.
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

# JPEG markers without a length behind them: TEM, RSTn, SOI.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
# Start of frame, which holds the size; C4, C8 and CC are other things.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# End of the image, and start of a scan: the frame comes before either.
_END_MARKERS = frozenset({0xD9, 0xDA})
# TensorFlow wants so many bytes before it looks into a BMP file.
_BMP_BYTES = 32
# Size in bytes of the header that OS/2 wrote.
_OS2 = 12
# Files that people often give another name, by what stands at which place.
_STRANGERS = (
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
    """Why a file is no image that can be decoded, in a few words."""


class Frame(NamedTuple):
    """The start of frame of a JPEG file.

    Attributes:
        marker: which process the file was written with: 0xC0 is baseline.
        bits: of each colour of a pixel.
        height: in pixels.
        width: in pixels.
        components: colours of a pixel: 1 is grayscale, 4 is CMYK.
    """

    marker: int
    bits: int
    height: int
    width: int
    components: int


def pixels(content: bytes) -> int:
    """How many pixels decoding this file would allocate, at most; of all frames for a GIF.

    Args:
        content: the whole file.

    Raises:
        NoImage: the file is empty, of a format that is not read, or has no header.
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
    for at, begin, name in _STRANGERS:
        if content.startswith(begin, at):
            raise NoImage(f"{name} files are not read; convert it to PNG or JPEG")
    raise NoImage("not a PNG, JPEG, GIF, BMP, WebP or JPEG XL file")


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
        # libpng passes over chunks that it does not know, even before the header.
        at += 12 + int(length)


def _bmp(content: bytes) -> int:
    if len(content) < _BMP_BYTES:
        raise NoImage("the file ends inside its header")
    # The height is negative where rows go from top to bottom.
    header, width, height = struct.unpack_from("<Iii", content, 14)
    claimed = abs(int(width) * int(height))
    # TensorFlow reads two numbers of OS/2's header as one. It decodes no more pixels than there
    # are bytes, and the decoder tells better why it refuses the file.
    return min(claimed, len(content)) if header == _OS2 else claimed


def _jpeg(content: bytes) -> int:
    frame = jpeg_frame(content)
    return frame.width * frame.height


def jpeg_frame(content: bytes) -> Frame:
    """The first frame of a JPEG file; bytes between segments are passed over, as libjpeg does.

    Raises:
        NoImage: there is none.
        IndexError: the file ends before it.
        struct.error: the file ends inside it.
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
            # A length that does not count itself is passed over all the same.
            at += max(2, int(struct.unpack_from(">H", content, at)[0]))


def _gif(content: bytes) -> int:
    frames = []
    # Of a file that is cut off the decoder gives the frames before the cut.
    with suppress(struct.error, IndexError):
        for frame in _gif_frames(content, 13 + _palette(content[10])):
            frames.append(frame)
    if not frames:
        raise NoImage("no frame in the GIF file")
    # Each frame is read, and all are laid onto one that is as wide and as high as any. The size
    # of the screen, which the header tells, is not used.
    largest = max(w for w, _ in frames) * max(h for _, h in frames)
    return int(max(sum(w * h for w, h in frames), largest))


def _gif_frames(content: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Size of every frame: the decoder reads them all, even to give the first."""
    while True:
        if content[at] == 0x2C:
            width, height, flags = struct.unpack_from("<HHB", content, at + 5)
            yield width, height
            at = _after_blocks(content, at + 11 + _palette(flags))
        elif content[at] == 0x21:
            # giflib reads one block and then those up to an empty one, though the first be empty.
            at = _after_blocks(content, at + 3 + content[at + 2])
        else:
            # The end of the file, or what the decoder takes for it.
            return


def _palette(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(content: bytes, at: int) -> int:
    while content[at]:
        at += content[at] + 1
    return at + 1
