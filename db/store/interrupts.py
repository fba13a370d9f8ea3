"""Delays signals such as Ctrl-C until a transaction has ended.

Python raises KeyboardInterrupt at any line, also inside SQLAlchemy. SQLAlchemy may then leave the
transaction open for as long as a variable refers to the exception. A test raised it at 100 points
of a reading transaction, and 7 of them left the transaction open. While a transaction is open, no
other process can write to the SQLite file, not even the worker that the interrupted command waits
for.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# The signals that a command may turn into a KeyboardInterrupt.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def delayed_signals() -> Iterator[None]:
    """Delay a signal's handler until the end of the block. A second signal is handled at once.

    Only the main thread delays signals, because Python runs their handlers there. A signal without
    a Python handler is not delayed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {
        signum: handler for signum in SIGNALS if callable(handler := signal.getsignal(signum))
    }
    delayed: list[tuple[int, FrameType | None]] = []
    ended = False

    def delay(number: int, frame: FrameType | None) -> None:
        # An exception in `finally` may leave this handler installed: it must then delay nothing.
        if ended or delayed:
            handlers[signal.Signals(number)](number, frame)
        else:
            delayed.append((number, frame))

    try:
        for signum in handlers:
            signal.signal(signum, delay)
        yield
    finally:
        ended = True
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        for number, frame in delayed:
            handlers[signal.Signals(number)](number, frame)
