"""A thing is found by its name: one name for one class, and no folder of too many modules."""

import ast
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PACKAGES = ("cli", "db", "fornada", "worker")
# One noun down the layers: the row of an attempt, and the attempt that a worker runs.
SAME_THING = {"Attempt"}
# A command's noun has a file of its own, and so has a family of Keras classes.
LARGE = {"cli": 40, "fornada/spec/catalogue": 20, "db/queue": 16}
MOST_MODULES = 15


def modules() -> list[Path]:
    """Every module of the product. `fornada/cli` and its like are links, which glob passes by."""
    found = [path for package in PACKAGES for path in (PROJECT / package).rglob("*.py")]
    return sorted({path.resolve() for path in found})


def test_no_two_classes_share_a_name() -> None:
    names = Counter(
        node.name
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in names.items() if count > 1} <= SAME_THING


def test_no_folder_holds_too_many_modules() -> None:
    folders = Counter(str(path.parent.relative_to(PROJECT)) for path in modules())
    assert len(folders) > len(PACKAGES)
    large = {name: count for name, count in folders.items() if count > MOST_MODULES}
    assert {name for name, count in large.items() if count > LARGE.get(name, 0)} == set()
