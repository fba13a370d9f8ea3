"""Chooses by time how many batches make a block. The choice does not change the results."""

# Time that a block should take. Only between two blocks can a training stop or save its state, so
# it is short; each call costs a millisecond, so it is not shorter.
BLOCK_S = 0.25


class Pace:
    """Chooses the length of the next block by the time that the last block took.

    Args:
        block_s: seconds that a block should take; 0 for one batch.

    >>> pace = Pace(0.25)
    >>> pace.batches
    1
    >>> pace.took(1, 0.005)
    >>> pace.batches
    50
    """

    def __init__(self, block_s: float = BLOCK_S) -> None:
        self._block_s = block_s
        # The first block has one batch, to measure its time. If that includes the compilation, the
        # second block corrects it.
        self.batches = 1

    def took(self, batches: int, seconds: float) -> None:
        """Report how many seconds a block of so many batches took."""
        self.batches = max(1, int(self._block_s * batches / max(seconds, 1e-6)))
