"""Ctrl-C amid a transaction: it comes at the end.

An exception at any point of SQLAlchemy may leave a transaction open for as long as somebody holds
the exception: so it was after 7 of 100 points of one that reads. Nobody else writes to an SQLite
file then, not even the worker that the interrupted command waits for.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Those that a command may turn into a KeyboardInterrupt.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def late() -> Iterator[None]:
    """Call Python's handlers of signals at the end; at the second signal at once.

    Only of use in the main thread, where Python calls them. A signal that has no handler of
    Python's does what it always does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {one: it for one in SIGNALS if callable(it := signal.getsignal(one))}
    heard: list[tuple[int, FrameType | None]] = []
    over = False

    def note(number: int, frame: FrameType | None) -> None:
        if over or heard:
            # Also where an exception left this handler behind.
            handlers[signal.Signals(number)](number, frame)
        else:
            heard.append((number, frame))

    try:
        for one in handlers:
            signal.signal(one, note)
        yield
    finally:
        over = True
        for one, handler in handlers.items():
            signal.signal(one, handler)
        for number, frame in heard:
            handlers[signal.Signals(number)](number, frame)
