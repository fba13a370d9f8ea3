"""The name of a worker in its home: waits for a home that is full or gone, and takes it again.

Standard library only: the parent must stay small.
"""

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

from fornada.worker.host import heartbeat_file

log = logging.getLogger("fornada.worker")

# Seconds of pause before the first try or restart. The pause doubles after each that did not help.
FIRST_PAUSE_S = 1.0
# The longest pause. A worker should start soon after its problem is solved, however long that took.
LONGEST_PAUSE_S = 30.0
# Errors of a home that is full. Any other at the start of a worker is a wrong setting.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class HeldName:
    """The heartbeat file that reserves a worker's name, also after the home was replaced.

    Args:
        home: the home.
        name: name of the worker.
    """

    def __init__(self, home: Path, name: str) -> None:
        self._home = home
        self._name = name
        self._descriptor: int | None = None
        self._taken: heartbeat_file.HomeOfWorker | None = None

    @property
    def descriptor(self) -> int:
        """Descriptor of the heartbeat file. It stays the same, also of another file."""
        if self._descriptor is None:
            raise RuntimeError("the name is not taken yet")
        return self._descriptor

    @property
    def held(self) -> bool:
        """Whether the name is reserved, in the home as it was then."""
        return self._taken is not None and self._taken.intact

    @property
    def may_retake(self) -> bool:
        """Whether the home was removed or replaced, and there is one again."""
        return not self.held and self._home.is_dir()

    def take(self, stopped_within: Callable[[float], bool]) -> bool:
        """Reserve the name, unless it is; wait as long as the home is full, or gone.

        Args:
            stopped_within: waits so many seconds, or until the worker is to stop, and returns
                whether it is.
        Returns:
            Whether the name is reserved; False if the worker is to stop.
        Raises:
            NameHeld: a living worker has the name.
            OSError: at the start, the home cannot be written, for another reason than a full disk.
        """
        pause_s, problem = FIRST_PAUSE_S, None
        while not self.held:
            before, problem = problem, self._try()
            if problem is None:
                if before is not None:
                    log.info("the home %s can be used again", self._home)
                return True
            if before is None:
                log.error("%s; the worker waits", problem)
            if stopped_within(pause_s):
                return False
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return True

    def give_up(self) -> None:
        """Remove the file of a worker that ends and leaves no job behind, if it is still there."""
        if self.held:
            heartbeat_file.give_up(self._home, self._name)

    def _try(self) -> str | None:
        """Take the name now; what is wrong if that fails."""
        if self._descriptor is not None and not self._home.is_dir():
            return f"the home {self._home} is gone: put it back, or create it"
        try:
            taken = heartbeat_file.take(self._home, self._name)
        except OSError as exc:
            if exc.errno in _FULL:
                return f"the home {self._home} is full: free some space on its disk"
            if self._descriptor is None:
                raise
            return f"the home {self._home} cannot be used: {exc.strerror}"
        if self._descriptor is None:
            self._descriptor = taken
            os.set_inheritable(taken, True)
        else:
            # Under the same number, which the command of the Celery process names.
            os.dup2(taken, self._descriptor)
            os.close(taken)
        self._taken = heartbeat_file.HomeOfWorker(self._home, self._name)
        return None
