"""Ranges of jobs that were written wrong, told before the record is asked for them."""

import re

from fornada.errors import BadReference

_RANGE = re.compile(r"([1-9]\d*)-([1-9]\d*)")
# A uid has eight digits before its first dash.
_UID = re.compile(r"[0-9a-f]{8}-")


def refuse_malformed(reference: str) -> None:
    """Refuse a range that runs backwards, lacks an end, or is not of ids; and a list by commas.

    Args:
        reference: of one job or several, as a person wrote it.
    Raises:
        BadReference: it is such a range or list.
    """
    text = reference.strip().lower()
    found = _RANGE.fullmatch(text)
    if found:
        first, last = map(int, found.groups())
        if first > last:
            raise BadReference(
                f'"{reference}" names no jobs: the range runs backwards. Write {last}-{first}.'
            )
    elif "," in text:
        apart = " ".join(part.strip() for part in reference.split(","))
        raise BadReference(f'"{reference}" names no job: set jobs apart by spaces, "{apart}".')
    elif "-" in text and not _UID.match(text):
        raise BadReference(
            f'"{reference}" names no jobs: a range is written with the ids of its first and its '
            "last job, for example 4-20."
        )


def refuse_range(reference: str) -> None:
    """Refuse any range, where one job is meant.

    Args:
        reference: as a person wrote it.
    Raises:
        BadReference: it is a range, good or bad.
    """
    refuse_malformed(reference)
    if _RANGE.fullmatch(reference.strip()):
        first = reference.strip().partition("-")[0]
        raise BadReference(
            f'"{reference}" names several jobs, and one is expected here, for example {first}.'
        )
