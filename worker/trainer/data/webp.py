"""Reads how many pixels a WebP file claims to have.

RFC 9649 describes the container. What is accepted beyond it follows libwebp
(`src/dec/webp_dec.c`, `ParseHeadersInternal`).
"""

import struct

_RIFF = 12
_CHUNK = 8
_LOSSLESS = 0x2F


def is_webp(content: bytes) -> bool:
    """Whether TensorFlow takes the file for WebP."""
    return content.startswith(b"RIFF") and content.startswith(b"WEBP", 8) and len(content) > _RIFF


def pixels(content: bytes) -> int:
    """Most pixels that decoding one frame of the file would allocate.

    Args:
        content: the whole file.

    Raises:
        struct.error: the file ends inside its header.
    """
    kind = content[_RIFF : _RIFF + 4]
    if kind == b"VP8X":
        # No frame of an animation may be larger than this.
        width, width_high, height, height_high = struct.unpack_from("<HBHB", content, 24)
        return int((width + (width_high << 16) + 1) * (height + (height_high << 16) + 1))
    if kind in {b"VP8 ", b"VP8L"}:
        return _image(content, _RIFF + _CHUNK, lossless=kind == b"VP8L")
    # libwebp also accepts image data without a chunk around it.
    return _image(content, _RIFF, lossless=content[_RIFF] == _LOSSLESS)


def _image(content: bytes, at: int, *, lossless: bool) -> int:
    if lossless:
        (both,) = struct.unpack_from("<I", content, at + 1)
        return int(((both & 0x3FFF) + 1) * ((both >> 14 & 0x3FFF) + 1))
    width, height = struct.unpack_from("<HH", content, at + 6)
    return int((width & 0x3FFF) * (height & 0x3FFF))
