"""Progress on a terminal: a bar of epochs, and a line of numbers below it.

This module imports Rich, which is slow to load. `fornada.cli.progress` imports it only when
stderr is a terminal.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from fornada.cli.progress import Began, epochs_wanted, numbers, standing
from fornada.cli.tables import GAP
from fornada.db.states import JobState

if TYPE_CHECKING:
    from fornada.client import Sight

# How often the bar is drawn. Small models finish several epochs per second.
DRAWS_PER_S = 5
# Before each line below the bar.
INDENT = "  "


class Bars(Progress):
    """The progress bar of one job. Call it with each `Sight` of the job.

    Args:
        console: where to draw.
    """

    def __init__(self, console: Console) -> None:
        # Set before the base class starts, because it draws at once and reads both.
        self._below: list[str] = []
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
        """The bar, and below it the numbers, which would not fit beside it, in as many lines."""
        yield self.make_tasks_table(self.tasks)
        for line in packed(self._below, self.console.width - len(INDENT)):
            yield Text(INDENT + line, style="dim", no_wrap=True, overflow="ellipsis")

    def __call__(self, sight: "Sight") -> None:
        """Show the job as it was seen."""
        job = sight.job
        if line := self._began(job):
            self.console.print(line, markup=False, highlight=False)
        if sight.epochs:
            self._below = numbers(job, sight.epochs[-1])
        elif (state := standing(sight)) != JobState.RUNNING:
            self._below = [state]
        self.update(
            self._bar,
            total=epochs_wanted(job),
            description=f"job {job['id']} {job['name']}",
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
