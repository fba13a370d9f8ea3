"""Reads how many pixels an image file claims, before a decoder allocates them.

The four formats that Keras lists, told by their first bytes as TensorFlow tells them, whatever
the file is called.
"""

import struct
from collections.abc import Callable, Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_GIF = (b"GIF87a", b"GIF89a")
_BMP = b"BM"

# JPEG markers without a length behind them: TEM, RSTn, SOI.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
# Start of frame, which holds the size; C4, C8 and CC are other things.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class NoImage(Exception):  # a finding about a file, reported and never fatal alone
    """Why a file is no image that can be decoded, in a few words."""


def pixels(content: bytes) -> int:
    """How many pixels decoding this file would allocate; of all frames for a GIF.

    Args:
        content: the whole file.

    Raises:
        NoImage: the file is empty, of another format, or its header is broken.
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
    raise NoImage("not a PNG, JPEG, GIF or BMP file")


def _png(content: bytes) -> int:
    width, height = struct.unpack_from(">II", content, 16)
    return int(width * height)


def _bmp(content: bytes) -> int:
    # The height is negative where rows go from top to bottom.
    width, height = struct.unpack_from("<ii", content, 18)
    return abs(int(width) * int(height))


def _jpeg(content: bytes) -> int:
    at = 2
    while True:
        while content[at] == 0xFF and content[at + 1] == 0xFF:
            at += 1
        marker = content[at + 1]
        if content[at] != 0xFF or marker == 0xD9:
            raise NoImage("no frame in the JPEG file")
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return int(width * height)
        at += 2
        if marker not in _BARE_MARKERS:
            at += int(struct.unpack_from(">H", content, at)[0])


def _gif(content: bytes) -> int:
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    frames = list(_gif_frames(content, 13 + _palette(flags)))
    # Each frame is read, and all are laid onto one that is as wide and as high as any.
    largest = max((w for w, _ in frames), default=0) * max((h for _, h in frames), default=0)
    return int(max(width * height, sum(w * h for w, h in frames), largest))


def _gif_frames(content: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Size of every frame: the decoder reads them all, even to give the first."""
    while content[at] != 0x3B:
        if content[at] == 0x2C:
            width, height, flags = struct.unpack_from("<HHB", content, at + 5)
            yield width, height
            at = _after_blocks(content, at + 11 + _palette(flags))
        elif content[at] == 0x21:
            at = _after_blocks(content, at + 2)
        else:
            raise NoImage("the GIF file holds an unknown block")


def _palette(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(content: bytes, at: int) -> int:
    while content[at]:
        at += content[at] + 1
    return at + 1
