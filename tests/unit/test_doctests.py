"""The examples in docstrings do what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
# Not the worker: its modules import Keras.
MODULES = [
    ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    for package in ("bench", "cli", "db", "fornada")
    for path in sorted((PROJECT / package).rglob("*.py"))
    if ">>>" in path.read_text()
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module(module: str) -> None:
    outcome = doctest.testmod(importlib.import_module(module))
    assert outcome.attempted > 0
    assert outcome.failed == 0
