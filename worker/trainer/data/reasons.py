"""Explains why TensorFlow cannot decode a file, and says what to do."""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from fornada.worker.trainer.data.headers import NoImage, jpeg_frame

# Most characters of TensorFlow's own reason that are shown.
_LONGEST = 200
_CUT = "the file is cut off: its end is missing"
# Color components of a JPEG file in CMYK.
_CMYK = 4
# Offsets in a BMP file: size of the second header, bits of a pixel, kind of compression.
_BMP_HEADER, _BMP_BITS, _BMP_COMPRESSION = 14, 28, 30
# Bytes of the second header in a BMP file of the old OS/2 kind.
_OS2 = 12
# Kinds of compression that leave the pixels as they are: none, and bit masks.
_UNCOMPRESSED = (0, 3)
# Lines of an error that say where in the program it happened, but not why.
_WHERE = re.compile(r"Graph execution error|Detected at node|File \"|\[\[\{\{|\s*$")


@dataclass(frozen=True)
class Undecoded:
    """A file that TensorFlow did not decode.

    Attributes:
        said: TensorFlow's reason.
        content: the whole file.
        color_mode: the color mode to decode to: grayscale, rgb or rgba.
    """

    said: str
    content: bytes
    color_mode: str


def why(message: str, content: bytes, color_mode: str) -> str:
    """Why a file was not decoded.

    Args:
        message: message of TensorFlow's error.
        content: the whole file.
        color_mode: the color mode to decode to.
    Returns:
        One line. It is TensorFlow's own reason if this module has no better one.
    """
    said = _said(message)
    for phrase, explain in _REASONS:
        if phrase in said:
            return explain(Undecoded(said, content, color_mode))
    return said[:_LONGEST]


def _said(message: str) -> str:
    """The reason in an error's message, without the place where it happened."""
    text = message.split(" [Op:", 1)[0]
    lines = [line.strip() for line in text.splitlines() if not _WHERE.match(line.strip())]
    return lines[-1].rsplit("}} ", 1)[-1] if lines else "TensorFlow gives no reason"


def _only(kind: str, modes: str) -> Callable[[Undecoded], str]:
    def explain(failure: Undecoded) -> str:
        return (
            f"{kind} files are read as {modes} only, not as {failure.color_mode} "
            "(data.color_mode); convert it to PNG"
        )

    return explain


def _other_colours(failure: Undecoded) -> str:
    kind = "WebP" if failure.content.startswith(b"RIFF") else "JPEG XL"
    return (
        f"{kind} files are read with the colours they have only, and this one is not "
        f"{failure.color_mode} (data.color_mode); convert it to PNG"
    )


def _jpeg(failure: Undecoded) -> str:
    try:
        frame = jpeg_frame(failure.content)
    except (NoImage, IndexError, struct.error):
        return "the JPEG file is broken"
    if frame.bits != 8:
        return f"a JPEG file of {frame.bits} bits a colour; 8 are read; convert it to PNG"
    if frame.marker not in {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}:
        return "a lossless or hierarchical JPEG file, which is not read; convert it to PNG"
    if frame.components == _CMYK and failure.color_mode == "grayscale":
        return _only("JPEG (CMYK)", "rgb")(failure)
    # A complete file holds this end marker, though more bytes may follow it.
    return "the JPEG file is broken" if b"\xff\xd9" in failure.content else _CUT


def _png_header(_: Undecoded) -> str:
    return "the header of the PNG file is broken"


def _png(failure: Undecoded) -> str:
    return "the PNG file is broken" if b"IEND" in failure.content else _CUT


def _gif(failure: Undecoded) -> str:
    detail = failure.said.rsplit(": ", 1)[-1].rsplit("), ", 1)[-1]
    return _CUT if "Failed to read" in detail else f"the GIF file is broken: {detail}"


def _bmp_bits(failure: Undecoded) -> str:
    (header,) = struct.unpack_from("<I", failure.content, _BMP_HEADER)
    if header == _OS2:
        return "a BMP file of the old OS/2 kind, which is not read; convert it to PNG"
    (bits,) = struct.unpack_from("<H", failure.content, _BMP_BITS)
    return f"a BMP file with a depth of {bits}; 8, 24 and 32 bits are read; convert it to PNG"


def _bmp_size(failure: Undecoded) -> str:
    (compression,) = struct.unpack_from("<I", failure.content.ljust(34), _BMP_COMPRESSION)
    if compression not in _UNCOMPRESSED:
        return "a compressed BMP file, which is not read; convert it to PNG"
    differs = re.search(r"differ by (-?)(\d+)", failure.said)
    if differs is None:
        return failure.said[:_LONGEST]
    direction = "few" if differs[1] else "many"
    return f"the BMP file has {differs[2]} bytes too {direction} for the size in its header"


def _webp(failure: Undecoded) -> str:
    (size,) = struct.unpack_from("<I", failure.content, 4)
    return _CUT if size + 8 > len(failure.content) else "the WebP file is broken"


def _jxl(_: Undecoded) -> str:
    return "the JPEG XL file is broken or cut off"


# A phrase in TensorFlow's message, and a function that gives a better reason. The first match wins.
_REASONS: tuple[tuple[str, Callable[[Undecoded], str]], ...] = (
    ("JPEG does not support", _only("JPEG", "grayscale or rgb")),
    ("channels must be 0 or 3 for GIF", _only("GIF", "rgb")),
    ("must be 0, 3 or 4 for BMP", _only("BMP", "rgb or rgba")),
    ("WebP only supports 3 or 4 channels", _only("WebP", "rgb or rgba")),
    ("WebP Animation must be 4 channel", _only("animated WebP", "rgba")),
    ("channels requested does not match input", _other_colours),
    ("jpeg::Uncompress failed", _jpeg),
    ("Failed to initialize decoder", _png_header),
    ("Invalid PNG data", _png),
    ("Invalid GIF data", _gif),
    ("channels inherent in the image", _bmp_bits),
    ("Input size should match", _bmp_size),
    ("Failed to decode WebP", _webp),
    ("Failed to decode JXL", _jxl),
)
