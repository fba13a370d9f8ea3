"""How many batches make a block: by time, which changes no number."""

# Seconds that a block takes: a stop is heard, and a state saved, between two of them alone; the
# call of one costs a millisecond.
BLOCK_S = 0.25


class Pace:
    """Chooses the next block's length by how long the last one took.

    Args:
        block_s: seconds that a block is to take; 0 for one batch.

    >>> pace = Pace(0.25)
    >>> pace.batches
    1
    >>> pace.took(1, 0.005)
    >>> pace.batches
    50
    """

    def __init__(self, block_s: float = BLOCK_S) -> None:
        self._block_s = block_s
        # The first block says how long one takes; or that it was compiled, which the second mends.
        self.batches = 1

    def took(self, batches: int, seconds: float) -> None:
        """Hear how long a block of so many batches took."""
        self.batches = max(1, int(self._block_s * batches / max(seconds, 1e-6)))
