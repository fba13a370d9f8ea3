"""Another time of day for one process and all that it starts; its monotonic clock is untouched."""

import importlib.util
from pathlib import Path

HOUR_S = 3600


def off_by(seconds: int) -> dict[str, str]:
    """What a process needs in its environment to be so far ahead, or behind when negative."""
    return {
        "LD_PRELOAD": str(_library()),
        "FAKETIME": f"{seconds:+d}",
        # Leases are held by it.
        "DONT_FAKE_MONOTONIC": "1",
    }


def _library() -> Path:
    # Found without importing it: the package would fake the time of this process.
    package = importlib.util.find_spec("libfaketime")
    assert package is not None, "libfaketime is not installed"
    assert package.origin is not None
    source = Path(package.origin).parent / "vendor" / "libfaketime" / "src"
    return source / "libfaketime.so.1"
