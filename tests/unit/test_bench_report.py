"""What the benchmarks compute and how they show it."""

import sys
from functools import partial
from pathlib import Path

import pytest

from bench import page, report
from bench.nets import NETS
from bench.report import Report, Row, compared, publish, quantile, read, row


def rates() -> list[Row]:
    return compared(
        [
            row("dense", "plain", "images/s", [90.0, 100.0, 110.0], more_is_better=True),
            row(
                "dense",
                "Fornada",
                "images/s",
                [800.0, 825.0, 850.0],
                bound=900.0,
                more_is_better=True,
            ),
            row("conv", "plain", "s", [2.0]),
            row("conv", "Fornada", "s", [4.0], bound=4.0),
        ]
    )


def test_a_ratio_is_to_the_first_of_the_group_whichever_way_is_better() -> None:
    assert [each.ratio for each in rates()] == [1.0, 8.25, 1.0, 0.5]


def test_a_figure_is_the_median_with_the_least_and_the_greatest() -> None:
    first = rates()[0]
    assert (first.value, first.low, first.high, first.runs) == (100.0, 90.0, 110.0, 3)


def test_a_promise_is_kept_at_its_bound() -> None:
    assert [each.kept for each in rates()] == [None, False, None, True]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)]
)
def test_a_quantile_is_one_of_the_values(share: float, expected: int) -> None:
    assert quantile(range(100, 0, -1), share) == expected


def test_runs_take_turns() -> None:
    turns: list[str] = []
    found = report.interleaved({name: partial(turns.append, name) for name in "ab"}, 2)
    assert turns == ["a", "b", "a", "b"]
    assert found == {"a": [None, None], "b": [None, None]}


def test_the_nets_cost_what_the_issue_says() -> None:
    assert NETS["dense"].epoch_flop(1, 0) == pytest.approx(0.93e6, rel=0.01)
    assert NETS["conv"].epoch_flop(1, 0) == pytest.approx(18e6, rel=0.01)


def test_a_page_is_written_from_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a plot: matplotlib is not among the packages of the tests.
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    made = Report("epochs", "Epochs", "Of everything.", rates(), {"images": 10}, ["all drawn"])
    publish(made, tmp_path)
    again, document = read(tmp_path / "epochs.json")
    assert again.rows == made.rows
    assert document["machine"]["cores"] > 0
    assert "850" in capsys.readouterr().out
    text = page.page(tmp_path, tmp_path / "performance.md")
    assert "| Fornada | 825 images/s | 800 - 850 | 3 | 8.25 | ≥ 900: missed |" in text
    assert "Epochs, conv: Fornada is 2.00 times slower than plain." in text
    assert "- All drawn." in text
