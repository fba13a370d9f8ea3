"""What one field alone cannot say: fields against one another."""

from collections.abc import Mapping
from typing import Any

from fornada.spec.reading import At


def check(values: Mapping[str, Any], at: At) -> None:
    """Record every contradiction."""
