"""Calls a function that looks at files, which may hang, and waits only so long for its answer."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

# Seconds to wait for an answer. A file server that is only busy answers within them.
PATIENCE_S = 5.0


class PatientLook:
    """Runs a look in a thread of its own; threads that ask at the same time share one look.

    Args:
        look: returns what is wrong, or None.
        hangs: what is wrong while the look does not come to its end.
        patience_s: seconds to wait for a look.
    """

    def __init__(
        self, look: Callable[[], str | None], hangs: str, patience_s: float = PATIENCE_S
    ) -> None:
        self._look = look
        self._hangs = hangs
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._answer: Future[str | None] | None = None
        # Whether a caller has waited in vain for the present look. Then nobody waits for it again.
        self._given_up = False

    def __call__(self) -> str | None:
        """What is wrong now; None if nothing is."""
        with self._lock:
            if self._answer is None or self._answer.done():
                self._answer, self._given_up = Future(), False
                # A daemon: the process may end while its file server hangs.
                threading.Thread(
                    target=self._run, args=(self._answer,), name="look", daemon=True
                ).start()
            answer, wait_s = self._answer, 0.0 if self._given_up else self._patience_s
        try:
            return answer.result(wait_s)
        except TimeoutError:
            self._given_up = True
            return self._hangs

    def _run(self, answer: "Future[str | None]") -> None:
        try:
            answer.set_result(self._look())
        except Exception as exc:  # noqa: BLE001 - whoever asked gets it
            answer.set_exception(exc)
