"""Recognizes text files that are not UTF-8, and says how to convert them."""

import codecs
import shlex
from pathlib import PurePath

# Each UTF-16 text begins with one of these marks, unless a program left the mark out.
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# The first bytes of common files that are no text, each with what the file is.
_KINDS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP file, as models of Keras are",
    b"\x89HDF": "an HDF5 file, as older models of Keras are",
    b"\x1f\x8b": "a file packed with gzip",
    b"SQLite format 3": "an SQLite database",
    b"\x93NUMPY": "an array of NumPy",
    b"\x7fELF": "a program",
}
# Bytes that no text of any encoding with one byte per letter has.
_NO_LETTERS = frozenset(range(32)) - frozenset(b"\t\n\f\r\x1b")


def not_text(data: bytes) -> str | None:
    """What a file is that is no text in any encoding: a sentence without its point.

    Args:
        data: the content, or its beginning.
    Returns:
        None if it may be a text.
    """
    for beginning, kind in _KINDS.items():
        if data.startswith(beginning):
            return f"this is {kind} and not a text"
    if _utf16(data):
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "this is not a text" if _NO_LETTERS.intersection(data) else None
    return None


def not_utf8(data: bytes, file: str) -> str | None:
    """What is wrong with a text that is not UTF-8, and a command that converts it.

    Args:
        data: the content, or its beginning.
        file: its name; `<stdin>` and its like name no file.
    Returns:
        A sentence, and the command on a second line; None for UTF-8.
    """
    if what := not_text(data):
        return f"{what}."
    if encoding := _utf16(data):
        return f"the text is {encoding}, not UTF-8.\n  Convert it: {_command(encoding, file)}"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return (
            f"byte 0x{data[error.start]:02x} is not UTF-8 text.\n"
            f"  If a program on Windows saved it: {_command('WINDOWS-1252', file)}"
        )
    return None


def _utf16(data: bytes) -> str | None:
    if data.startswith(_MARKS):
        return "UTF-16"
    # In a text of ASCII letters, every second byte of UTF-16 is zero. UTF-8 texts have none.
    if len(data) >= 2 and data[:2].count(0) == 1:
        encoding = "UTF-16BE" if data[0] == 0 else "UTF-16LE"
        letters = data[: len(data) // 2 * 2].decode(encoding, "replace")
        return None if _NO_LETTERS.intersection(map(ord, letters)) else encoding
    return None


def _command(encoding: str, file: str) -> str:
    command = f"iconv -f {encoding} -t UTF-8"
    if file.startswith("<"):
        return command
    path = PurePath(file)
    converted = path.with_name(f"{path.stem}-utf8{path.suffix}")
    return f"{command} {shlex.quote(file)} > {shlex.quote(str(converted))}"
