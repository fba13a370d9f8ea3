"""What `import fornada` offers is named, found and explained."""

import dataclasses
import inspect
import pydoc
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fornada

CLASSES: list[type[Any]] = [
    getattr(fornada, name) for name in fornada.__all__ if name != "__version__"
]
# Errors of a call that names a job.
OF_REFERENCES = ("JobNotFound", "AmbiguousReference", "BadReference")


def methods() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The methods of our own that a program calls."""
    for each in CLASSES:
        for name, method in inspect.getmembers(each, inspect.isfunction):
            if method.__module__.startswith("fornada") and not name.startswith("_"):
                yield f"{each.__name__}.{name}", method


METHODS = dict(methods())


def test_every_public_name_is_found() -> None:
    assert set(fornada.__all__) <= set(dir(fornada))
    assert sorted(fornada.__all__) == list(fornada.__all__)
    with pytest.raises(AttributeError):
        _ = fornada.Nobody


@pytest.mark.parametrize("each", CLASSES, ids=lambda each: each.__name__)
def test_a_class_says_what_it_is_and_what_it_carries(each: type[Any]) -> None:
    text = each.__doc__ or ""
    assert inspect.cleandoc(text)
    assert not text.startswith(f"{each.__name__}("), "dataclasses makes such a text by itself"
    if dataclasses.is_dataclass(each):
        fields = [
            field.name
            for field in dataclasses.fields(each)
            # A setting carries its description itself.
            if not field.name.startswith("_") and each is not fornada.Settings
        ]
        assert [name for name in fields if f"    {name}: " not in text] == []


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_takes_and_which_errors_it_raises(name: str) -> None:
    method = METHODS[name]
    text = inspect.cleandoc(method.__doc__ or "")
    taken = [each for each in inspect.signature(method).parameters if each != "self"]
    explained = re.findall(r"^ {4}(\w+): ", text.partition("Args:\n")[2], re.MULTILINE)
    assert [each for each in taken if each not in explained] == []
    if "reference" in taken:
        assert "JobNotFound" in text.partition("Raises:\n")[2]


def test_help_shows_the_client_and_an_example() -> None:
    text = pydoc.plain(pydoc.render_doc(fornada))
    for needed in ("class Client", "client.submit(", "docs/python.md", "class JobNotFound"):
        assert needed in text
