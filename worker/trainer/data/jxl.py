"""Reads how many pixels a JPEG XL file claims to have.

ISO/IEC 18181-1 describes the size, ISO/IEC 18181-2 the boxes that may be around the image. A frame
may be larger than the image, but its size is compressed, so only the decoder knows it.
"""

import struct
from collections.abc import Iterator

_STREAM = b"\xff\x0a"
_BOXES = b"\0\0\0\x0cJXL \r\n\x87\n"
# Bytes of the signature and of the longest encoding of a size.
_SIZE_BYTES = 2 + 9
# Width to height for each code of a ratio. Code 0 means that the width is given instead.
_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def is_jxl(content: bytes) -> bool:
    """Whether TensorFlow takes the file for JPEG XL."""
    return content.startswith((_STREAM, _BOXES))


def pixels(content: bytes) -> int:
    """How many pixels the image has.

    Args:
        content: the whole file.

    Raises:
        IndexError: the file ends inside its header.
    """
    stream = content if content.startswith(_STREAM) else _unboxed(content)
    if len(stream) < len(_STREAM) + 1:
        raise IndexError
    bits = _Bits(stream[len(_STREAM) : _SIZE_BYTES])
    small = bits.take(1) == 1
    height = _side(bits, small=small)
    wide, high = _RATIOS[bits.take(3)]
    width = height * wide // high if wide else _side(bits, small=small)
    return width * height


def _side(bits: "_Bits", *, small: bool) -> int:
    if small:
        return (bits.take(5) + 1) * 8
    return bits.take((9, 13, 18, 30)[bits.take(2)]) + 1


class _Bits:
    """Reads numbers from the beginning of some bytes, the lowest bit first."""

    def __init__(self, content: bytes) -> None:
        self._left = int.from_bytes(content, "little")

    def take(self, count: int) -> int:
        taken = self._left & (1 << count) - 1
        self._left >>= count
        return taken


def _unboxed(content: bytes) -> bytes:
    """The first bytes of the image itself, which may be in several boxes."""
    stream = b""
    for kind, inside in _boxes(content):
        if kind == b"jxlc":
            return inside
        if kind == b"jxlp":
            # The first four bytes are the number of the part.
            stream += inside[4:]
        if len(stream) >= _SIZE_BYTES:
            break
    return stream


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind of each box, and the first bytes of its content."""
    at = 0
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        header = 8
        if size == 1 and at + 16 <= len(content):
            (size,) = struct.unpack_from(">Q", content, at + 8)
            header = 16
        # The last box may have size 0: it reaches to the end of the file.
        end = at + size if size else len(content)
        yield kind, content[at + header : min(end, at + header + 4 + _SIZE_BYTES)]
        at = max(end, at + header)
