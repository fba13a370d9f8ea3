"""Values, summaries and journal modes of the record, without a database."""

import json
import math

import pytest

from fornada.db.json_values import plain
from fornada.db.queue.summaries import Summary
from fornada.db.store.sqlite import journal_mode


def test_plain_is_json() -> None:
    value = {"a": (1, math.nan), 2: {"b": [math.inf, -math.inf, 1.5]}, "c": None, "d": "NaN"}
    assert plain(value) == {
        "a": [1, "NaN"],
        "2": {"b": ["Infinity", "-Infinity", 1.5]},
        "c": None,
        "d": "NaN",
    }
    json.dumps(plain(value), allow_nan=False)
    # A string reads back as the number it stands for.
    assert math.isnan(float(plain(math.nan)))
    assert float(plain(-math.inf)) == -math.inf


def summary(*values: float) -> Summary:
    """Of these values, epoch by epoch."""
    counted = Summary()
    for epoch, value in enumerate(values, start=1):
        counted.take(epoch, value)
    return counted


def test_of_equal_values_the_first_counts() -> None:
    assert summary(2.0, 1.0, 3.0, 1.0, 3.0) == Summary(3.0, 5, 1.0, 2, 3.0, 3)


def test_nan_is_last_but_neither_least_nor_greatest() -> None:
    counted = summary(math.nan, 1.0, math.nan)
    assert math.isnan(counted.last or 0.0)
    assert (counted.min, counted.max, counted.last_epoch) == (1.0, 1.0, 3)
    assert summary(math.nan).min is None


def test_an_epoch_that_comes_again_changes_nothing() -> None:
    counted = summary(2.0, 1.0)
    counted.take(1, 2.0)
    assert counted == summary(2.0, 1.0)


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ((3, 40, 1), "TRUNCATE"),
        ((3, 44, 5), "TRUNCATE"),
        ((3, 44, 6), "WAL"),
        ((3, 45, 0), "TRUNCATE"),
        ((3, 50, 6), "TRUNCATE"),
        ((3, 50, 7), "WAL"),
        ((3, 51, 2), "TRUNCATE"),
        ((3, 51, 3), "WAL"),
        ((3, 52, 0), "WAL"),
        ((4, 0, 0), "WAL"),
    ],
)
def test_a_write_ahead_log_only_where_it_is_cured(version: tuple[int, int, int], mode: str) -> None:
    assert journal_mode(version) == mode
