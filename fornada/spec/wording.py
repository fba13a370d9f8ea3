"""Words for messages: the nearest right name, lists, and text made safe to show."""

from collections.abc import Iterable


def nearest(name: str, right: Iterable[str]) -> str | None:
    """The one of `right` that `name` most likely meant, or None.

    Case, `_`, `-` and spaces count for nothing: `early_stopping` means `EarlyStopping`. A name
    that was only begun means the shortest that goes on: `acc` means `accuracy`.

    Example:
        >>> nearest("unit", ["units", "activation"])
        'units'
    """
    # Compared letter by letter: a longer name is no misspelling, and would cost its square.
    if len(name) > 64:
        return None
    bare: dict[str, str] = {}
    for candidate in right:
        # Of two spellings of one name, the first is the one to learn.
        bare.setdefault(_bare(candidate), candidate)
    if _bare(name) in bare:
        return bare[_bare(name)]
    begun = [known for known in bare if len(name) > 2 and known.startswith(_bare(name))]
    if begun:
        return bare[min(begun, key=len)]
    import difflib

    close = difflib.get_close_matches(_bare(name), bare, n=1, cutoff=0.6)
    return bare[close[0]] if close else None


def did_you_mean(name: str, right: Iterable[str]) -> str:
    """A further line for a message, or nothing."""
    match = nearest(name, right)
    return f'\n  Did you mean "{match}"?' if match else ""


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def clip(text: str) -> str:
    """At most 60 characters of `text` on one line, for messages.

    What could break the line, or speak to the terminal, is written as an escape.
    """
    short = text if len(text) <= 60 else text[:57] + "..."
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in short
    )


def listed(names: Iterable[str], most: int = 40) -> str:
    """`a, b, c`, for messages; at most `most` of them."""
    known = [clip(name) for name in names]
    rest = [f"and {len(known) - most} more"] if len(known) > most else []
    return ", ".join(known[:most] + rest)


def sentence(parts: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *head, last = parts
    return f"{', '.join(head)} or {last}" if head else last


def printable(text: str) -> str:
    """`text` on one line, whole; what cannot be shown is written as an escape.

    A name from a disk may be any bytes: those that are not UTF-8 are written as `\\xe9`.
    """
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    # How `os.fsdecode` keeps a byte that is not UTF-8.
    if 0xDC80 <= ord(letter) <= 0xDCFF:
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()
