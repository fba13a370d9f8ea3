"""Specs with one mistake each: the message, its place, and the suggestion in it.

A file in `spec_cases` begins with the expected values. With its `good` line in place of the bad
lines it becomes a correct spec, which must load.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from fornada.db.states import FailureCode
from fornada.spec import Problem, SpecProblems, load, loads
from fornada.spec.problems import told

ROOT = Path("/srv/data")
CASES = sorted((Path(__file__).parent / "spec_cases").glob("*.yaml"))
_HEADER = re.compile(r"# ([a-z ]+): ?(.*)")


@dataclass(frozen=True)
class Case:
    """One file of `spec_cases`.

    Attributes:
        expects: the values at the head of the file, by their names.
        corrected: the text without the mistake.
    """

    expects: dict[str, str]
    corrected: str

    @staticmethod
    def of(path: Path) -> "Case":
        lines = path.read_text().splitlines()
        head = [match for line in lines if (match := _HEADER.fullmatch(line))]
        expects = {match[1]: match[2] for match in head}
        count, first = map(int, re.findall(r"\d+", expects["instead of"]))
        corrected = [*lines[: first - 1], expects["good"], *lines[first - 1 + count :]]
        return Case(expects, "\n".join(corrected))


def test_there_are_sixty_cases() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_mistake_is_refused_at_its_place_and_the_corrected_spec_loads(path: Path) -> None:
    case = Case.of(path)
    expects = case.expects

    with pytest.raises(SpecProblems) as refused:
        load(path, data_root=ROOT, base=ROOT)

    problems = refused.value.problems
    assert len(problems) == int(expects["problems"])
    (problem,) = [one for one in problems if one.path == expects["at"]]
    assert problem.file == str(path)
    assert problem.line == int(expects["line"])
    assert problem.code is FailureCode(expects["code"])
    assert expects["says"] in problem.message
    assert expects["expected"] in problem.message
    assert _suggestion(problem.message) == expects["suggests"]
    loads(case.corrected, data_root=ROOT, base=ROOT)


def _suggestion(message: str) -> str:
    match = re.search(r'Did you mean "?(.*?)"?(, in quotes)?\?$', message)
    return match[1] if match else ""


def test_all_problems_of_a_file_are_reported_at_once_in_the_order_of_their_lines() -> None:
    text = """\
data: {train: Train, batch_size: 6.0}
model:
  - Dens: {units: 3}
  - Dense: {units: three, activation: rely}
compile: {optimizer: Adam, loss: SparseCategoricalCrossentropy, metrics: [acc]}
callbacks:
  - EarlyStopping: {patience: soon, monitor: loss}
"""

    with pytest.raises(SpecProblems) as refused:
        loads(text, file="a.yaml", data_root=ROOT, base=ROOT)

    places = [(one.line, one.path) for one in refused.value.problems]
    assert places == [
        (1, "data.batch_size"),
        (3, "model.0"),
        (4, "model.1.Dense.units"),
        (4, "model.1.Dense.activation"),
        (5, "compile.metrics.0"),
        (7, "callbacks.EarlyStopping.patience"),
    ]


def test_the_whole_text_of_a_problem() -> None:
    path = Path(__file__).parent / "spec_cases" / "monitor-accuracy.yaml"

    with pytest.raises(SpecProblems) as refused:
        load(path, data_root=ROOT, base=ROOT)

    assert str(refused.value) == (
        f'{path}:34  callbacks.EarlyStopping.monitor: "val_acc" is never produced.\n'
        "  This spec produces: loss, val_loss, sparse_categorical_accuracy, "
        "val_sparse_categorical_accuracy.\n"
        '  Did you mean "val_sparse_categorical_accuracy"?'
    )


def test_a_misspelled_metric_of_a_validation_that_is_missing() -> None:
    case = Path(__file__).parent / "spec_cases" / "monitor-without-validation.yaml"
    text = case.read_text().replace("monitor: val_loss, patience", "monitor: val_acc, patience")

    with pytest.raises(SpecProblems) as refused:
        loads(text, data_root=ROOT, base=ROOT)

    assert "data.validation_split: 0.1" in refused.value.problems[0].message
    assert _suggestion(refused.value.problems[0].message) == "val_sparse_categorical_accuracy"
    # A subset of train and validation_split do not go together.
    subset = "{folder: Data/Train, validation_split: 0.1, subset: training}"
    with pytest.raises(SpecProblems) as refused:
        loads(text.replace("Data/Train", subset), data_root=ROOT, base=ROOT)

    assert "data.validation_split: 0.1" not in str(refused.value)
    assert "data.validation" in str(refused.value)


def test_a_long_list_that_several_problems_expect_is_written_once() -> None:
    layers = "".join(f"  - {name}\n" for name in ("Flaten", "Denze", "Foo", "Bar"))
    text = f"data: {{train: Data/Train}}\nmodel:\n{layers}compile: {{optimizer: Adum, loss: Foo}}\n"

    with pytest.raises(SpecProblems) as refused:
        loads(text, data_root=ROOT, base=ROOT)

    said = str(refused.value)
    assert said.count("SpatialDropout2D") == 1
    assert said.count("as for model.0") == 3
    # Each problem by itself has the whole list, as in JSON.
    unknown = [problem for problem in refused.value.problems if problem.path.startswith("model")]
    assert len(unknown) == 4
    assert all("SpatialDropout2D" in str(problem) for problem in unknown)


def test_a_list_is_written_again_for_another_file_or_names_the_first_one() -> None:
    expected = "x\n  Expected one of: " + "a" * 100 + "."
    problems = [Problem(file, 3, "model.0", expected) for file in ("a.yaml", "b.yaml")]

    assert told(problems).splitlines()[-1] == "  Expected one of: as for a.yaml:3 model.0."
