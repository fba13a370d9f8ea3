"""The epochs trained so far: in memory, in the training state, and in `history.csv`."""

import csv
import io
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fornada.worker.messages import EpochReport, RestoredEpoch
from fornada.worker.trainer.outputs import atomic_files

_WHOLE = ("number", "attempt")
_FIXED = (*_WHOLE, "seconds", "images_per_s", "learning_rate")
# Prefix of a metric's column name, so that it differs from every fixed column.
_METRIC = "metrics/"
# Attempt number of epochs that another job trained, which this job continues.
INHERITED = 0


class History:
    """Epochs, stored in columns, so that a state saves 100,000 epochs in milliseconds."""

    def __init__(self) -> None:
        self._columns: dict[str, array[Any]] = {}

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]], *, inherited: bool) -> "History":
        """Create a history from the result of `columns`.

        Args:
            columns: the columns of a training state.
            inherited: whether another job trained these epochs.
        """
        history = cls()
        for name, values in columns.items():
            kept = np.full_like(values, INHERITED) if inherited and name == "attempt" else values
            history._columns[name] = array("q" if name in _WHOLE else "d", kept.tolist())
        return history

    def add(self, epoch: EpochReport, attempt: int) -> None:
        """Append an epoch that `attempt` has trained; all epochs have the same metrics."""
        row = {name: getattr(epoch, name) for name in _FIXED if name != "attempt"}
        row["attempt"] = attempt
        row |= {f"{_METRIC}{name}": value for name, value in epoch.metrics.items()}
        for name, value in row.items():
            column = self._columns.setdefault(name, array("q" if name in _WHOLE else "d"))
            column.append(value)

    def columns(self) -> dict[str, NDArray[Any]]:
        """All epochs as arrays, one a column: whole numbers as int64, others as float64."""
        return {
            name: np.array(column, np.int64 if name in _WHOLE else np.float64)
            for name, column in self._columns.items()
        }

    def rows(self) -> list[RestoredEpoch]:
        """All epochs as messages."""
        metrics = [name for name in self._columns if name.startswith(_METRIC)]
        return [
            RestoredEpoch(
                metrics={name.removeprefix(_METRIC): self._columns[name][i] for name in metrics},
                **{name: self._columns[name][i] for name in _FIXED},
            )
            for i in range(len(self))
        ]

    def __len__(self) -> int:
        return len(self._columns.get("number", ()))


class HistoryFile:
    """`history.csv`: one row an epoch, written before the epoch is reported."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "history.csv"
        self._columns: list[str] = []

    def restore(self, epochs: list[RestoredEpoch]) -> None:
        """Write the epochs of a restored state."""
        if epochs:
            atomic_files.write_text(self._path, "".join(self._row(epoch) for epoch in epochs))

    def add(self, epoch: EpochReport) -> None:
        """Append an epoch; the first epoch decides the columns."""
        text = self._row(epoch)
        with self._path.open("a") as file:
            file.write(text)

    def _row(self, epoch: EpochReport) -> str:
        row: dict[str, float] = {
            "epoch": epoch.number,
            "seconds": epoch.seconds,
            "images_per_s": epoch.images_per_s,
            "learning_rate": epoch.learning_rate,
            **epoch.metrics,
        }
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._columns:
            self._columns = list(row)
            writer.writerow(self._columns)
        writer.writerow([row.get(column, "") for column in self._columns])
        return text.getvalue()
