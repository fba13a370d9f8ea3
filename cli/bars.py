"""Progress on a terminal: a bar of epochs, and a line of numbers below it.

This module imports Rich, which is slow to load. `fornada.cli.progress` imports it only when
stderr is a terminal.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import rich.progress
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from fornada.cli.best_so_far import BestSoFar
from fornada.cli.progress import Began, epochs_wanted, numbers, standing
from fornada.cli.tables import GAP, clipped
from fornada.db.states import JobState

if TYPE_CHECKING:
    from fornada.client import Progress
    from fornada.db.answers import JobAnswer

# How often the bar is drawn. Small models finish several epochs per second.
DRAWS_PER_S = 5
# Columns of the narrowest terminal with a bar, and of the shortest bar.
WITH_BAR = 60
LEAST_BAR = 11
# Before each line below the bar.
INDENT = "  "


class Bars(rich.progress.Progress):
    """The progress bar of one job. Call it with each `Progress` of the job.

    Args:
        console: where to draw.
    """

    def __init__(self, console: Console) -> None:
        # Set before the base class starts, because it draws at once and reads all of them.
        self._numbers: list[str] = []
        self._below: list[str] = []
        self._terminal = console
        self._began = Began()
        self._best = BestSoFar()
        bar = [BarColumn(bar_width=None)] if self._has_bar else []
        super().__init__(
            TextColumn("{task.description}", markup=False),
            *bar,
            MofNCompleteColumn(),
            TextColumn("epochs, eta"),
            TimeRemainingColumn(compact=True),
            console=console,
            refresh_per_second=DRAWS_PER_S,
        )
        self._bar = self.add_task("", total=None)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and below it the numbers, which would not fit beside it, in as many lines."""
        yield self.make_tasks_table(self.tasks)
        for line in packed(self._below, self._terminal.width - len(INDENT)):
            yield Text(INDENT + line, style="dim", no_wrap=True, overflow="ellipsis")

    @property
    def _has_bar(self) -> bool:
        """Whether the terminal has room for a bar beside the numbers."""
        return self._terminal.width >= WITH_BAR

    def _title(self, job: "JobAnswer") -> str:
        """`job 12 digits`, cut if it would take the room of the numbers."""
        title = f"job {job['id']}"
        digits = 2 * len(str(epochs_wanted(job)))
        taken = len(title) + digits + len(" /  epochs, eta 0:00:00 ")
        room = self._terminal.width - taken - (LEAST_BAR if self._has_bar else 0)
        return f"{title} {clipped(job['name'], room)}" if room > 1 else title

    def __call__(self, progress: "Progress") -> None:
        """Show the job as it was seen."""
        job = progress.job
        if line := self._began(job):
            self.console.print(line, markup=False, highlight=False)
        if progress.epochs:
            *_, (epoch, best) = self._best(job, progress.epochs)
            self._numbers = numbers(job, epoch, best)
        state = standing(progress)
        # The numbers of the last epoch stay below a job that has ended.
        told = state != JobState.RUNNING and not progress.final
        self._below = [*self._numbers, *([state] if told else [])]
        self.update(
            self._bar,
            total=epochs_wanted(job),
            description=self._title(job),
            completed=job["epochs_run"] or 0,
        )


def packed(parts: Iterable[str], width: int) -> list[str]:
    """Lines of at most `width` columns that hold the parts in order; no part is broken."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1] + GAP + part) <= width:
            lines[-1] += GAP + part
        else:
            lines.append(part)
    return lines
