"""What can go wrong for a person, each kind with a stable code."""

from typing import ClassVar


class FornadaError(Exception):
    """Something a person can act on; the message says what failed, why, and what to do next."""

    code: ClassVar[str] = "INTERNAL"
