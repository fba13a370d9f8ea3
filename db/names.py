"""One form of a name: é may be written as one character, or as e and an accent."""

import unicodedata


def composed(text: str) -> str:
    """The text in Unicode's form NFC, in which names and tags are stored and compared.

    macOS and some keyboards write é as two characters, others as one.

    >>> len("e\\u0301"), len(composed("e\\u0301"))
    (2, 1)
    """
    return unicodedata.normalize("NFC", text)
