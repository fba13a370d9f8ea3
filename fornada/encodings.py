"""Recognizes text files that are not UTF-8, and says how to convert them."""

import codecs
import shlex
from pathlib import PurePath

# Each UTF-16 text begins with one of these marks, unless a program left the mark out.
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def not_utf8(data: bytes, file: str) -> str | None:
    """What is wrong with a text that is not UTF-8, and a command that converts it.

    Args:
        data: the content, or its beginning.
        file: its name; `<stdin>` and its like name no file.
    Returns:
        A sentence, and the command on a second line; None for UTF-8.
    """
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
    if len(data) >= 2 and 0 in data[:2]:
        return "UTF-16BE" if data[0] == 0 else "UTF-16LE"
    return None


def _command(encoding: str, file: str) -> str:
    command = f"iconv -f {encoding} -t UTF-8"
    if file.startswith("<"):
        return command
    path = PurePath(file)
    converted = path.with_name(f"{path.stem}-utf8{path.suffix}")
    return f"{command} {shlex.quote(file)} > {shlex.quote(str(converted))}"
