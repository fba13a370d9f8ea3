"""What the benchmarks compute and how they show it."""

from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import page, report
from bench.nets import NETS
from bench.plot import svg
from bench.report import Report, Row, compared, quantile, row
from bench.results import publish, read, text

MEASURED = Path(__file__).parents[2] / "docs" / "performance"
SVG = "{http://www.w3.org/2000/svg}"


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
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Report("epochs", "Epochs", "Of everything.", rates(), {"images": 10}, ["all drawn"])
    publish(made, tmp_path)
    again, document = read(tmp_path / "epochs.json")
    assert again.rows == made.rows
    assert document["machine"]["cores"] > 0
    assert "850" in capsys.readouterr().out
    written = page.page(tmp_path, tmp_path / "performance.md")
    assert "| Fornada | 825 images/s | 800 - 850 | 3 | 8.25 | ≥ 900: missed |" in written
    assert "Epochs, conv: Fornada is 2.00 times slower than plain." in written
    assert "- All drawn." in written
    assert "![Epochs](epochs.svg)" in written
    assert (tmp_path / "epochs.svg").read_text() == svg(made)


def test_the_committed_page_and_pictures_are_what_the_figures_give() -> None:
    performance = MEASURED.with_suffix(".md")
    assert performance.read_text() == page.page(MEASURED, performance)
    measured = page.reports(MEASURED)
    assert {file.stem for file in MEASURED.glob("*.json")} == {each.name for each, _ in measured}
    for each, document in measured:
        assert (MEASURED / f"{each.name}.svg").read_text() == svg(each)
        assert (MEASURED / f"{each.name}.json").read_text() == text(document)


def widths(rows: list[Row]) -> list[float]:
    """How long the bars of a picture are, the longest being 1."""
    bars = ElementTree.fromstring(svg(Report("some", "A & B", "Of <all>.", rows)))  # noqa: S314
    found = [float(bar.get("width", "")) for bar in bars.iter(f"{SVG}rect") if bar.get("x")]
    return [round(width / max(found), 3) for width in found]


def test_bars_are_as_long_as_their_figures_whatever_their_units_of_time() -> None:
    assert widths([row("a", "x", "s", [2.0]), row("a", "y", "ms", [500.0])]) == [1.0, 0.25]


def test_a_group_has_a_scale_of_its_own_and_so_has_another_kind_of_unit() -> None:
    rows = [row("a", "x", "s", [2.0]), row("b", "x", "s", [8.0]), row("a", "y", "MB", [500.0])]
    assert widths(rows) == [1.0, 1.0, 1.0]


def test_a_percentage_is_drawn_as_a_part_of_a_hundred() -> None:
    assert widths([row("a", "x", "s", [1.0]), row("a", "y", "%", [25.0])]) == [1.0, 0.25]


def test_curves_go_through_the_worst_of_each_database_and_size() -> None:
    rows = [
        row(f"{name}: {size} jobs", question, "ms", [value], size=size)
        for name in ("PostgreSQL", "SQLite")
        for size in (100, 1_000, 10_000)
        for question, value in (("ps", 10.0), ("ls", 5.0))
    ]
    drawn = ElementTree.fromstring(svg(Report("history", "History", "", rows)))  # noqa: S314
    curves = [path.get("d", "") for path in drawn.iter(f"{SVG}path") if path.get("fill")]
    points = [[point.split(" ") for point in curve[1:].split("L")] for curve in curves]
    assert [len(curve) for curve in points] == [3, 3]
    # Each size is ten times the last, and all have the same worst.
    left, middle, right = (float(x) for x, _ in points[0])
    assert middle - left == pytest.approx(right - middle, abs=0.2)
    assert len({y for curve in points for _, y in curve}) == 1
