"""A seeded random schedule of faults, half a minute on each database; `make chaos` plays longer.

`FORNADA_TEST_FULL=1` plays four minutes.
"""

import os
from pathlib import Path

import pytest

from tests.faults.chaos import play
from tests.faults.schedule import LASTS_S, WEIGHTS, schedule

SECONDS = 240.0 if os.environ.get("FORNADA_TEST_FULL") == "1" else 30.0


def test_a_seed_is_one_schedule_with_all_kinds_of_faults() -> None:
    assert schedule(1, SECONDS) == schedule(1, SECONDS)
    assert schedule(1, SECONDS) != schedule(2, SECONDS)
    assert {each.kind for each in schedule(1, 3600.0)} == set(WEIGHTS)
    assert set(LASTS_S) < set(WEIGHTS)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("database", "seed"), [("sqlite", 1), ("postgres", 2)])
def test_nothing_is_lost(database: str, seed: int, tmp_path: Path) -> None:
    play(database, SECONDS, seed, tmp_path / "chaos")
