"""How much is drawn at random: a fixed number of examples in CI, many more by hand."""

import os

# `FORNADA_TEST_FULL=1`, which `make faults FULL=1` sets.
FULL = os.environ.get("FORNADA_TEST_FULL") == "1"
_TIMES = 25


def examples(count: int) -> int:
    """So many examples; with `FORNADA_TEST_FULL=1` 25 times as many."""
    return count * _TIMES if FULL else count
