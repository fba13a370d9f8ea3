"""What is wrong with text that is not YAML is said in words, at the line of the mistake."""

import pytest
import yaml

from fornada.db.states import FailureCode
from fornada.spec import Problem, SpecProblems, loads

MERGED = "<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> x\n"

# Each text with the line of its mistake, and words that only the message for it has.
BROKEN = {
    "a space too much": ("data:\n  train: a\n   test: b\n", 3, "indentation of this line, 3"),
    "a space too much after braces": ("x:\n  a: {b: c}\n   d: e\n", 3, "Expected 0 or 2 spaces"),
    "a space too little": ("data:\n  train: a\n test: b\n", 3, "indentation of this line, 1"),
    "a space too little in a list": ("model:\n  - a\n - b\n", 3, "indentation of this line, 1"),
    "a space too much in a list": ("model:\n  - {a: 1}\n   - b\n", 3, "indentation of this line"),
    "after a text over several lines": ("a:\n    b: |\n      c\n  d: 1\n", 4, "2 spaces"),
    "the first line is indented": ("  data: x\nmodel: y\n", 2, "what is above"),
    "text after the end": ("{a: 1}\nb: 2\n", 2, "what is above"),
    "arguments below a layer": ("model:\n  - Dense\n    units: 3\n", 2, '"Dense" has no colon'),
    "no colon after a section": ("data\n  train: a\n", 1, '"data" has no colon'),
    "no colon after a name": ("x: 1\ndata\ny: 1\n", 2, '"data" has no colon'),
    "no colon, but a value": ("data:\n  train a\n  test: b\n", 2, '"train a" has no colon'),
    "an equals sign": ("a: 1\nb = 4\n", 2, '"b = 4" has no colon'),
    "a second colon": ("model:\n  - Dense: units: 3\n", 2, "Dense: {units: …}"),
    "a name without end": ("a" * 1100 + ": 1\n", 1, "longer than 1,024"),
    "no space after a colon": ("fit:\n  epochs:30\n  b: 1\n", 2, '"epochs: 30"'),
    "an open bracket in the last line": ("b: [1, 2", 1, "the text ends before that"),
    "an open brace": ("m:\n  - A: {b: 8\n  - C\n  - D: {e: 3}\nf: {g: 1}\n", 2, "{ of this line"),
    "an open brace around a closed one": ("a: {A: {x: 1}\nb: 2\n", 1, "line 2 cannot be inside"),
    "an open bracket": ("a: [1, 2\nb: 2\n", 1, "Expected ] at its end"),
    "an open bracket at the end": ("a: 1\nb: [1, 2\n", 2, "the text ends before that"),
    "the wrong bracket": ("a: [1, 2}\n", 1, "} cannot close it"),
    "the wrong bracket later": ('{"a": [1,\n"b": 2}\n', 1, "} in line 2 cannot close it"),
    "a bracket too many": ("a: [1, 2]]\n", 1, "] closes nothing"),
    "a brace too many": ("a: {b: 1}}\n", 1, "} closes nothing"),
    "a bracket that was never opened": ("a: ]\n", 1, "] closes nothing"),
    "no comma between names": ("a: {b: 1 c: 2}\n", 1, "comma is missing"),
    "no comma between texts": ("a: ['b' 'c']\n", 1, "comma is missing"),
    "two commas": ("a: [1,,2]\n", 1, "no value is before this comma"),
    "a comma after a list": ("a: [1], b\n", 1, "a comma is behind a value"),
    "a tab": ("a:\n\tb: 1\n", 2, "a tab is in the indentation"),
    "a tab after spaces": ("a:\n  b: 1\n \tc: 2\n", 3, "a tab is in the indentation"),
    "a quote never closed": ("a: 'b\nc: d\n", 1, "the quote ' of this line"),
    "a quote closed by the next one": ('a: "b\nc: d\ne: "f"\n', 1, "next quote, in line 3"),
    "a quote closed in another list": ('a: ["b, c]\nd: "e"\n', 1, "next quote, in line 2"),
    "a quote before a line of dashes": ('a: "b\nc: d\n---\n', 1, 'the quote " of this line'),
    "a quote over a name": ('"a\nb": 1\n', 1, "a quote of this line is not closed"),
    "an apostrophe": ("a: 'it's'\n", 1, "behind the closing quote '"),
    "text after a quote": ('a: "b" c\n', 1, 'behind the closing quote "'),
    "a path of Windows": ('a: "C:\\data"\n', 1, "a backslash in double quotes"),
    "an escape without digits": ('a: "C:\\x"\n', 1, "a backslash in double quotes"),
    "an escape beyond Unicode": ('a: "\\U00110000"\n', 1, "beyond Unicode"),
    "an asterisk": ("a: *.png\n", 1, "cannot begin with *"),
    "an ampersand": ("a: & b\n", 1, "cannot begin with &"),
    "an exclamation mark": ("a: !!\n", 1, "cannot begin with !"),
    "an unknown tag": ("a: !q!b c\n", 1, "cannot begin with !"),
    "an at sign": ("a: @b\n", 1, "cannot begin with @"),
    "a backtick": ("a: `b`\n", 1, "cannot begin with `"),
    "a percent sign": ("a: {b: 50%, c: %5}\n", 1, "cannot begin with %"),
    "a greater-than sign": ("a: >0.5\n", 1, "cannot begin with >"),
    "a bar": ("a: |x\n", 1, "cannot begin with |"),
    "a question mark": ("a: ? b\n", 1, "cannot begin with ?"),
    "a line for the parser": ("%YAML 2.0\n---\na: 1\n", 1, "a line that begins with %"),
    "a broken line for the parser": ("%YAML x\n---\na: 1\n", 1, "a line that begins with %"),
    "a line that looks like one": ("%b\na: 1\n", 1, "a line that begins with %"),
    "an item in the line of a name": ("a: - b\n", 1, "a list item is in the line of its name"),
    "an item among names": ("x:\n  a: 1\n  - b\n", 3, "a list item is among names"),
    "a name among items": ("x:\n  - a\n  b: 1\n", 3, "a name is among list items"),
    "no name": (": 1\n", 1, "no name is before the colon"),
    "no name in braces": ("a: {: 1}\n", 1, 'a value is missing before ":"'),
    "versions that git could not merge": (MERGED, 1, "git could not merge"),
}


def problem_of(text: str) -> Problem:
    with pytest.raises(SpecProblems) as refused:
        loads(text)
    (problem,) = refused.value.problems
    return problem


@pytest.mark.parametrize(("text", "line", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_a_mistake_is_said_in_words_at_its_line(text: str, line: int, says: str) -> None:
    problem = problem_of(text)

    assert problem.code is FailureCode.SPEC_SYNTAX
    assert problem.line == line
    assert says in problem.message


@pytest.mark.parametrize("text", [text for text, _, _ in BROKEN.values()], ids=BROKEN.keys())
def test_the_words_of_the_parser_are_not_said(text: str) -> None:
    with pytest.raises((yaml.MarkedYAMLError, ValueError)) as refused:
        list(yaml.parse(text, Loader=yaml.SafeLoader))

    words = getattr(refused.value, "problem", None) or str(refused.value)
    assert words not in problem_of(text).message


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_lines_of_other_systems_are_counted(end: str) -> None:
    problem = problem_of("a: 1\nfit:\n  epochs:30\n  b: 1\n".replace("\n", end))
    assert (problem.line, '"epochs: 30"' in problem.message) == (3, True)


def test_an_override_is_explained_too() -> None:
    with pytest.raises(SpecProblems) as refused:
        loads("a: 1", overrides=["fit.epochs={a: 1"])

    assert any("the { of this line is not closed" in one.message for one in refused.value.problems)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("fit:\n  epochs:30\n", "fit"),
        ("fit: {epochs:30}\n", "fit.epochs:30"),
        ("data: {train:Train}\n", "data.train:Train"),
    ],
)
def test_a_missing_space_that_is_good_yaml_is_said(text: str, path: str) -> None:
    with pytest.raises(SpecProblems) as refused:
        loads(text)

    (problem,) = [one for one in refused.value.problems if one.path == path]
    assert "a space is missing after the colon" in problem.message
    # The name that was meant is not missing.
    assert "data.train" not in [one.path for one in refused.value.problems if "train:" in text]
