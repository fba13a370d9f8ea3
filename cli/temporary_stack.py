"""A stack for one command: somebody else's while it is up, our own where there is none."""

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.db.reasons import NeedsGpu

if TYPE_CHECKING:
    from fornada.client import Sight
    from fornada.settings import Settings
    from fornada.stack.local import LocalStack


class TemporaryStack:
    """Keeps a stack up while one job is watched, and stops what it has started.

    Args:
        settings: of a server, whose stack is not ours to start, or embedded.
        queues: that a worker of ours serves.
    """

    def __init__(self, settings: "Settings", queues: Sequence[str]) -> None:
        self._settings = settings
        self._queues = queues
        self._ends = ExitStack()
        self._stack: LocalStack | None = None

    @property
    def ours(self) -> bool:
        """Whether the stack ends with this command."""
        return self._stack is not None

    def see_to(self, sight: "Sight") -> None:
        """Keep the job going: call it at each look.

        Raises:
            StackError: a part of our stack has ended.
            ExitWith: no worker of ours can ever run the job.
        """
        self._keep_up()
        if self._stack is not None and isinstance(sight.waits, NeedsGpu):
            job_id = sight.job["id"]
            raise ExitWith(
                ExitCode.NEVER_SCHEDULED,
                f"job {job_id} asks for a GPU and this machine has none. It waits in the queue. "
                "Train it on the CPU: --set resources.gpus=auto. "
                f"Forget it: fornada cancel {job_id}",
            )

    def __enter__(self) -> Self:
        self._keep_up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.close()

    def _keep_up(self) -> None:
        from fornada.errors import StackRunning
        from fornada.stack import local

        if self._stack is not None:
            self._stack.check()
        elif self._settings.embedded and not local.running(self._settings):
            # At the start, and when the command whose stack we used has ended.
            stack = local.LocalStack(self._settings, queues=self._queues)
            try:
                self._stack = self._ends.enter_context(stack)
            except StackRunning:
                # Another one was quicker; theirs will do.
                return
