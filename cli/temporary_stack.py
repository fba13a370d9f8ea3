"""A stack for one command: the stack that is already up, or else one that the command starts."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.output import Output
from fornada.db.reasons import NeedsGpu

if TYPE_CHECKING:
    from fornada.client import Progress
    from fornada.settings import Settings
    from fornada.stack.local import LocalStack


# Seconds pass before a worker can report anything about a job, so this is said before.
IMPORTS = "the worker imports Keras, which takes several seconds; then it trains the job"


class TemporaryStack:
    """Keeps a stack up while a command watches one job.

    It starts a stack if none is up. At the end it stops the stack that it started.

    Args:
        settings: if they name a server, no stack is started.
        queues: the queues that the worker of the started stack serves.
        output: gets a note when a stack is started.
    """

    def __init__(self, settings: "Settings", queues: Sequence[str], output: Output) -> None:
        self._settings = settings
        self._queues = queues
        self._output = output
        self._exit_stack = ExitStack()
        self._stack: LocalStack | None = None

    @property
    def ours(self) -> bool:
        """Whether this command started the stack, and so stops it."""
        return self._stack is not None

    def check(self, progress: "Progress") -> None:
        """Keep the stack up, and check that it can run the job. Call it with each `Progress`.

        Raises:
            StackError: a part of our stack has ended.
            ExitWith: our worker can never run the job.
        """
        self._keep_up()
        if self._stack is not None and isinstance(progress.waits, NeedsGpu):
            job_id = progress.job["id"]
            raise ExitWith(
                ExitCode.NEVER_SCHEDULED,
                f"job {job_id} asks for a GPU, but this machine has no GPU. The job stays in the "
                "queue. To train on the CPU: --set resources.gpus=auto. "
                f"To give it up: fornada cancel {job_id}",
            )

    def __enter__(self) -> Self:
        self._keep_up()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_stack.close()

    def _keep_up(self) -> None:
        from fornada.errors import StackRunning
        from fornada.stack import local, stack_lock

        if self._stack is not None:
            self._stack.check()
        elif self._settings.embedded and not stack_lock.running(self._settings):
            # No stack is up: at the start, or because the command whose stack we used has ended.
            stack = local.LocalStack(self._settings, queues=self._queues, command="run")
            self._settings.make_home()
            if not self._output.json:
                home = self._settings.home
                self._output.note(f"starting the embedded stack in {home}: Redis, SQLite, a worker")
                self._output.note(IMPORTS)
            try:
                self._stack = self._exit_stack.enter_context(stack)
            except StackRunning:
                # Another command started a stack first: use that one.
                return
