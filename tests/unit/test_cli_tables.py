"""Tables that fit the terminal: what is folded, what is left out, and how wide a text is."""

import re
from collections.abc import Sequence
from typing import Any, cast

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fornada.cli.history import _ALIVE, _alive_row, _past, _past_row
from fornada.cli.output import Output
from fornada.cli.tables import Column, folded, layout, padded, width_of
from fornada.db.answers import HistoryAnswer, LiveAnswer

WIDTHS = (40, 60, 80, 200)
LONG = "digits-with-a-long-name-and-augmentation-and-a-seed-of-its-own-7"
NAMES = (LONG, "日本語の数字を分類するモデル", "🐱🐶👩‍🔬-emoji", "été", "x" * 64)
STAMP = "2026-11-30T16:21:00+00:00"


def past(name: str) -> HistoryAnswer:
    row = {
        "id": 12345,
        "name": name,
        "state": "succeeded",
        "epochs_run": 100,
        "duration_s": 7387.0,
        "submitted_at": STAMP,
        "tags": {"note": "🐱 and more words", "owner": "ana", "sweep": "learning-rate"},
        "user": "ana",
        "monitor": "val_sparse_categorical_accuracy",
        "best": {"value": 1.234e-07},
        "failure": {"code": "DATA_INVALID", "message": "Data/Train/3/a.png: not an image; 2 more"},
    }
    return cast(HistoryAnswer, row)


def alive(name: str) -> LiveAnswer:
    row = {
        "id": 12345,
        "name": name,
        "state": "running",
        "priority": -100,
        "queue": "a-queue-with-a-long-name",
        "slot": "gpu:0",
        "epoch": 12,
        "epochs": 100,
        "monitor": "val_loss",
        "best": {"value": 1.234e-07},
        "elapsed_s": 7387.0,
        "eta_s": 7387.0,
        "cancel_requested": False,
        "waits": None,
        "starts_in_s": 90.0,
    }
    return cast(LiveAnswer, row)


def on_terminal(
    columns: Sequence[Column],
    rows: list[list[object]],
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[list[str], str]:
    """The lines of a table without colours, and the note below it."""
    monkeypatch.setenv("COLUMNS", str(width))
    Output(color="always").table(columns, rows, empty="")
    told = capsys.readouterr()
    return click.unstyle(told.out).splitlines(), told.err


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", ["ls", "ps"])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_broken(
    which: str,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    best = "val_sparse_categorical_accuracy 1.234e-07"
    if which == "ls":
        columns: Sequence[Column] = _past(None, None, several_users=True)
        rows = [_past_row(past(name), best, None) for name in NAMES]
    else:
        columns, rows = _ALIVE, [_alive_row(alive(name)) for name in NAMES]
    lines, note = on_terminal(columns, rows, width, monkeypatch, capsys)
    assert max(map(width_of, lines)) <= width
    text = "\n".join(lines)
    left_out = re.findall(r"[A-Z][A-Z ]*", note.partition(":")[0])
    assert text.count("12345") == len(NAMES)
    for column, cell in zip(columns, rows[0], strict=True):
        if column.wraps or column.head in left_out:
            continue
        assert text.count(str(cell)) >= len(NAMES), (column.head, note)
    assert not left_out or width < 200


def test_the_lightest_column_goes_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = [Column("ID"), Column("LIGHT", weight=1), Column("HEAVY", weight=2)]
    rows: list[list[object]] = [["1", "l" * 20, "h" * 20]]
    lines, note = on_terminal(columns, rows, 40, monkeypatch, capsys)
    assert (lines[0].split(), "LIGHT" in note) == (["ID", "HEAVY"], True)
    lines, note = on_terminal(columns, rows, 50, monkeypatch, capsys)
    assert (lines[0].split(), note) == (["ID", "LIGHT", "HEAVY"], "")


def test_an_empty_column_goes_before_any_other_and_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = [Column("ID"), Column("LIGHT", weight=1), Column("EMPTY", weight=2), Column("LAST")]
    lines, note = on_terminal(columns, [["1", "l" * 20, None, "e" * 10]], 40, monkeypatch, capsys)
    assert (lines[0].split(), note) == (["ID", "LIGHT", "LAST"], "")


def test_a_head_is_not_broken_while_free_text_has_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = [Column("BEST val_auc", right=True), Column("TEXT", wraps=True)]
    lines, _ = on_terminal(columns, [["1", "word " * 20]], 40, monkeypatch, capsys)
    assert lines[0].split("  ") == ["BEST val_auc", "TEXT"]


def test_a_pipe_gets_everything(capsys: pytest.CaptureFixture[str]) -> None:
    tags = {"note": "a\tb"}
    rows = [_past_row(cast(Any, past(name) | {"tags": tags}), None, None) for name in NAMES]
    Output().table(_past(None, None, several_users=False), rows, empty="")
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == list(NAMES)
    # A tab in a tag begins no other column.
    assert {len(line) for line in lines} == {len(rows[0])}


def test_what_controls_a_terminal_does_not_reach_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    Output(color="always").table([Column("TAG")], [["\x1b[2J\u202egnp"]], empty="")
    assert not {"\x1b[2J", "\u202e"} & set(re.findall(r"\x1b\[2J|\u202e", capsys.readouterr().out))


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("abc", 3),
        ("日本", 4),
        ("🐱", 2),
        ("e\u0301te\u0301", 3),
        ("👩‍🔬", 2),
        ("👍🏽", 2),
        ("❤️", 2),
        ("", 0),
    ],
)
def test_a_text_is_as_wide_as_a_terminal_draws_it(text: str, width: int) -> None:
    assert width_of(text) == width
    assert width_of(padded(text, 10)) == 10


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        (
            "val_sparse_categorical_accuracy 0.87",
            16,
            ["val_sparse_", "categorical_", "accuracy 0.87"],
        ),
        ("owner=ana sweep=lr", 10, ["owner=ana", "sweep=lr"]),
        ("loss 1e-07", 6, ["loss", "1e-07"]),
        ("日本日本", 5, ["日本", "日本"]),
        ("one-two", 5, ["one-", "two"]),
    ],
)
def test_words_stay_whole(text: str, width: int, lines: list[str]) -> None:
    assert folded(text, width) == lines


@given(st.text(alphabet="ab 日🐱é_-=/.7\u0301", max_size=80), st.integers(2, 40))
def test_folding_loses_nothing_and_stays_in_its_width(text: str, width: int) -> None:
    lines = folded(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(width_of(line) <= width for line in lines)


@given(
    st.lists(
        st.tuples(st.text("a日-", min_size=1, max_size=50), st.booleans(), st.integers(0, 3)),
        min_size=1,
        max_size=8,
    ),
    st.integers(40, 120),
)
def test_columns_fit_if_all_but_the_first_may_go(
    made: list[tuple[str, bool, int]], width: int
) -> None:
    columns = [
        Column("ID"),
        *(Column("H", wraps=wraps, weight=weight) for _, wraps, weight in made),
    ]
    found = layout(columns, [["1", *(cell for cell, _, _ in made)]], width)
    assert found.places[0] == 0
    assert sum(found.widths) + 2 * (len(found.widths) - 1) <= width
