"""docs/reliability.md names, for each promise, tests that are there."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "reliability.md").read_text()
ROW = re.compile(r"^\| R(\d+) \|.*\| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)(?:::(test_\w+))?`")
PROMISES = [(int(number), tests) for number, tests in ROW.findall(PAGE)]


def test_every_promise_is_listed_once() -> None:
    assert [number for number, _ in PROMISES] == list(range(1, 39))


@pytest.mark.parametrize(("number", "tests"), PROMISES)
def test_a_promise_names_tests_that_are_there(number: int, tests: str) -> None:
    named = NAMED.findall(tests)
    assert named, f"R{number} names no test"
    for file, function in named:
        path = PROJECT / file
        assert path.exists(), f"R{number}: {file}"
        assert not function or f"def {function}(" in path.read_text(), f"R{number}: {function}"


def test_every_test_of_a_promise_is_named() -> None:
    there = {path.name for path in (PROJECT / "tests" / "faults").glob("test_r[0-9]*.py")}
    named = {Path(file).name for _, tests in PROMISES for file, _ in NAMED.findall(tests)}
    assert there <= named
