"""YAML in a spec: scalars as in YAML 1.2, and the limits."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from yaml.reader import Reader

from fornada.db.states import FailureCode
from fornada.spec import SpecProblems, from_document, loads
from fornada.spec.source import yaml_text as source
from fornada.spec.source.limits import MAX_BYTES, MAX_DEPTH, MAX_NODES, control
from fornada.spec.source.nodes import Node
from fornada.spec.source.scalars import NumberError, resolve

CASES = Path(__file__).with_name("spec_cases")


@pytest.mark.parametrize("case", sorted(each.name for each in CASES.glob("*.yaml")))
def test_a_spec_reads_the_same_with_libyaml_and_without(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> Node | str:
        try:
            return source.read((CASES / case).read_bytes(), case)
        except SpecProblems as problems:
            return str(problems)

    assert source._FAST is not None
    fast = found()
    monkeypatch.setattr(source, "_FAST", None)

    assert fast == found()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("+3", 3),
        ("012", "012"),
        ("0x10", "0x10"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.5.2", "1.5.2"),
        ("2024-01-01", "2024-01-01"),
        ("1/255", "1/255"),
    ],
)
def test_plain_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    resolved = resolve(text)

    assert resolved == value
    assert type(resolved) is type(value)


@pytest.mark.parametrize("text", [".nan", ".inf", "-.INF", "1e999", "9" * 5000])
def test_numbers_that_are_not_finite_or_too_long_are_refused(text: str) -> None:
    with pytest.raises(NumberError):
        resolve(text)


# Each text with the line of its problem, and a part of the message.
BROKEN = {
    "too large": ("#" * (MAX_BYTES + 1), None, "262,145 bytes"),
    "lists too deep": ("[" * 100_000, 1, f"deeper than {MAX_DEPTH}"),
    "mappings too deep": ("{a: " * 60_000, 1, f"deeper than {MAX_DEPTH}"),
    "blocks too deep": ("\n".join(" " * i + "a:" for i in range(500)), MAX_DEPTH + 1, "deeper"),
    "too many values": ("- a\n" * 60_000, MAX_NODES, "10,000 values"),
    "too many names": ("\n".join(f"k{i}: 1" for i in range(20_000)), 5000, "10,000 values"),
    "a name given twice": ("a: 1\nb: 2\na: 3", 3, '"a" is given twice, first on line 1'),
    "a name of any kind": ("? [a]\n: 1", 1, "cannot be a name"),
    "an anchor": ("\na: &x 1", 2, "anchor &x"),
    "an alias": ("\na: *x", 2, "alias *x"),
    "a tag": ("a: !!python/object/apply:os.system [id]", 1, "tag tag:yaml.org"),
    "a local tag": ("a: !x 1", 1, "tag !x"),
    "no text": ("", 1, "empty"),
    "comments alone": ("# a\n# b\n", 1, "empty"),
    "two documents": ("a: 1\n---\nb: 1", 2, "second document"),
    "not a number": ("a: 1\nb: .nan", 2, "not a finite number"),
    "infinity": ("a: -.inf", 1, "not a finite number"),
    "a giant number": ("a: " + "9" * 200_000, 1, "a number of 200000 characters"),
    "a null character": ("a: 1\nb: \0", 2, "U+0000"),
    "an escape": ('a: "\\e[31m"', 1, "U+001B"),
    "half a character": ('a: "\\ud800"', 1, "U+D800"),
    "beyond Unicode": ('\na: "\\U00110000"', 2, "not YAML"),
    "a line break of another kind": ("a: b\u2028", 1, "U+2028"),
    "a text that never ends": ("a: 'b", 1, "not YAML"),
    "a tab": ("a:\n\tb: 1", 2, "not YAML"),
}


@pytest.mark.parametrize(("text", "line", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_or_dangerous_yaml_is_refused_with_its_line_and_in_time(
    text: str, line: int | None, says: str
) -> None:
    began = time.process_time()

    with pytest.raises(SpecProblems) as refused:
        loads(text)

    (problem,) = refused.value.problems
    assert problem.code is FailureCode.SPEC_SYNTAX
    assert problem.line == line
    assert says in problem.message
    # Seconds of processor time. We promise one; the rest is for a busy machine.
    assert time.process_time() - began < 3


@pytest.mark.parametrize("text", [" " * 200_000, "a: >\n" + "  b\n\n" * 40_000, "a " * 130_000])
def test_large_and_harmless_text_is_read_in_time(text: str) -> None:
    began = time.process_time()

    with pytest.raises(SpecProblems):
        loads(text)

    assert time.process_time() - began < 3


def _deep(levels: int) -> dict[str, Any]:
    root: dict[str, Any] = {}
    inner = root
    for _ in range(levels):
        inner["a"] = {}
        inner = inner["a"]
    return root


DOCUMENTS = {
    "too deep": (_deep(50_000), "deeper"),
    "not a number": ({"data": {"seed": float("nan")}}, "not a finite number"),
    "a giant number": ({"a": 10**70}, "64 digits"),
    "an object": ({"a": object()}, "not a JSON value"),
    "a number as a name": ({1.5: 2}, "neither text nor"),
    "too much text": ({"a": "x" * (MAX_BYTES + 1)}, "larger than"),
    "too many values": ({"a": [0] * MAX_NODES}, "10,000 values"),
    "a control character": ({"a": "\x1b[31m"}, "U+001B"),
}


@pytest.mark.parametrize(("document", "says"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_documents_have_the_same_limits(document: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecProblems) as refused:
        from_document(document)

    (problem,) = refused.value.problems
    assert problem.code is FailureCode.SPEC_SYNTAX
    assert says in problem.message


@pytest.mark.parametrize("document", [None, [], "a", 5, {}])
def test_a_document_that_is_not_a_mapping_or_is_empty_is_refused(document: Any) -> None:
    with pytest.raises(SpecProblems):
        from_document(document)


def test_a_spec_may_hold_what_yaml_calls_printable_but_no_odd_line_ends() -> None:
    odd = {"\x85", "\u2028", "\u2029", "\ufeff"}
    for character in map(chr, range(sys.maxunicode + 1)):
        refused = character in odd or Reader.NON_PRINTABLE.match(character) is not None
        assert (control(character) is not None) is refused, hex(ord(character))
