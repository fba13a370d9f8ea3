"""Progress on a terminal: a bar of epochs, and a line of numbers below it.

Imports Rich; only `fornada.cli.progress` imports this, when there is a terminal.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from fornada.cli.progress import Began, epochs_wanted, numbers, standing

if TYPE_CHECKING:
    from fornada.client import Sight

# Draws a second; epochs of small models end several times in one.
DRAWS_PER_S = 5


class Bars(Progress):
    """One job's bar. Call it with each sight of the job.

    Args:
        console: to draw on.
    """

    def __init__(self, console: Console) -> None:
        # Before the base class, which draws at once.
        self._below = ""
        self._began = Began()
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("epochs, eta"),
            TimeRemainingColumn(compact=True),
            console=console,
            refresh_per_second=DRAWS_PER_S,
        )
        self._bar = self.add_task("", total=None)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and below it what does not fit beside it on a narrow terminal."""
        yield self.make_tasks_table(self.tasks)
        yield Text(self._below, style="dim", no_wrap=True, overflow="ellipsis")

    def __call__(self, sight: "Sight") -> None:
        """Show it."""
        job = sight.job
        if said := self._began(job):
            self.console.print(said, markup=False, highlight=False)
        if sight.epochs:
            self._below = "  " + numbers(job, sight.epochs[-1])
        elif sight.waits or not job["epochs_run"]:
            self._below = "  " + standing(sight)
        self.update(
            self._bar,
            total=epochs_wanted(job),
            description=f"job {job['id']} {job['name']}",
            completed=job["epochs_run"] or 0,
        )
