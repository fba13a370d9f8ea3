"""Parts of messages: the nearest right name, lists of names, and text that is safe to print."""

from collections.abc import Iterable

# Words that people use for a field of a spec or an argument of Keras that is spelt in another way.
_MEANINGS = {
    "bs": "batch_size",
    "channels": "filters",
    "hidden": "units",
    "kernel": "kernel_size",
    "lr": "learning_rate",
    "neurons": "units",
    "nodes": "units",
    "p": "rate",
}


def nearest(name: str, right: Iterable[str]) -> str | None:
    """The name in `right` that `name` probably means, or None.

    Case, `_`, `-` and spaces are ignored: `early_stopping` means `EarlyStopping`. The beginning of
    a name means the shortest name that begins like this: `acc` means `accuracy`. Some words of the
    field mean a name that is spelt in another way: `lr` means `learning_rate`.

    Example:
        >>> nearest("unit", ["units", "activation"])
        'units'
    """
    # A longer name is not a misspelling, and the comparison takes quadratic time in its length.
    if len(name) > 64:
        return None
    bare: dict[str, str] = {}
    for candidate in right:
        # If two names differ only in spelling, the first one is suggested.
        bare.setdefault(_bare(candidate), candidate)
    for right_name in (_bare(name), _bare(_MEANINGS.get(_bare(name), ""))):
        if right_name in bare:
            return bare[right_name]
    begun = [known for known in bare if len(name) > 2 and known.startswith(_bare(name))]
    if begun:
        return bare[min(begun, key=len)]
    import difflib

    close = difflib.get_close_matches(_bare(name), bare, n=1, cutoff=0.6)
    return bare[close[0]] if close else None


def did_you_mean(name: str, right: Iterable[str]) -> str:
    """The line `Did you mean "…"?` for a message, or an empty string if no name is near."""
    match = nearest(name, right)
    return f'\n  Did you mean "{match}"?' if match else ""


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def clip(text: str) -> str:
    """At most 60 characters of `text` on one line, for messages.

    Characters that would end the line or control the terminal are written as escapes.
    """
    short = text if len(text) <= 60 else text[:57] + "..."
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in short
    )


def no_space(name: str, value: str) -> str:
    """The message for a name and its value without the space between them.

    >>> print(no_space("epochs", "30"))
    a space is missing after the colon.
      Did you mean "epochs: 30"?
    """
    # Of `Dense:{units: 3}` YAML reads `Dense:{units` as a name.
    value += ": …}" if value.startswith("{") and "}" not in value else ""
    return f'a space is missing after the colon.\n  Did you mean "{clip(f"{name}: {value}")}"?'


def without_space(text: str, names: Iterable[str]) -> str | None:
    """The same message for a text such as `epochs:30`, if it begins with one of `names`."""
    name, colon, value = text.partition(":")
    return no_space(name, value) if colon and value and name in names else None


def listed(names: Iterable[str], most: int = 40) -> str:
    """`a, b, c` for messages. After `most` names it ends with `and N more`."""
    known = [clip(name) for name in names]
    rest = [f"and {len(known) - most} more"] if len(known) > most else []
    return ", ".join(known[:most] + rest)


def sentence(parts: Iterable[str]) -> str:
    """`a`, `a or b`, or `a, b or c`."""
    *head, last = parts
    return f"{', '.join(head)} or {last}" if head else last


def printable(text: str) -> str:
    """The whole `text` on one line. Characters that cannot be printed are written as escapes.

    A file name may contain any bytes. A byte that is not UTF-8 is written like `\\xe9`.
    """
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    # `os.fsdecode` turns a byte that is not UTF-8 into such a surrogate.
    if 0xDC80 <= ord(letter) <= 0xDCFF:
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()
