"""The one verdict on the folders of a spec: code, place and line of everything that is wrong."""

from pathlib import Path

import pytest

from fornada.data.inspection import Inspector, all_warnings, inspect
from fornada.spec import from_document, loads
from fornada.spec.loading import PartlyRead
from tests.folder_cases import CASES, LINES, Case, good, touch


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_found_in_folders(case: Case, tmp_path: Path) -> None:
    root = tmp_path / "root"
    good(root)
    case.make(root)
    spec = case.spec(root)
    found = inspect(spec, root)
    assert [(one.code, one.path) for one in found.problems] == list(case.problems)
    assert [one.path for one in found.warnings] == list(case.warnings)
    told = [*found.problems, *found.warnings]
    assert [(one.file, one.line) for one in told] == [
        ("small.yaml", LINES[one.path]) for one in told
    ]
    text = "\n".join(map(str, told))
    assert [words for words in case.says if words not in text] == []
    assert [words for words in case.never if words in text] == []
    # Any log, terminal and JSON document can hold it.
    assert all(line.isprintable() for line in text.split("\n"))
    # A job has the stored document, and says the same without file and line.
    again = inspect(from_document(spec.document()), root)
    assert [one.what for one in again.problems] == [one.what for one in found.problems]
    assert [one.what for one in again.warnings] == [one.what for one in found.warnings]


def test_a_folder_of_several_specs_is_listed_once(tmp_path: Path) -> None:
    good(tmp_path)
    spec = Case("any", good).spec(tmp_path)
    inspector = Inspector(tmp_path)
    first, second = (inspector.inspect(spec) for _ in range(2))
    assert first.listings["train"] is second.listings["train"]


@pytest.mark.parametrize(
    ("train", "test", "shared"),
    [
        ("Train", "Test", 0),
        ("Train", "Train", 12),
        # 12 files, of which 6 are in each subset.
        ("{folder: Train, validation_split: 0.5, subset: training}", "Train", 6),
        (
            "{folder: Train, validation_split: 0.5, subset: training}",
            "{folder: Train, validation_split: 0.5, subset: validation}",
            0,
        ),
        ("Train", "Linked", 5),
    ],
)
def test_files_of_two_sets_are_a_warning(
    train: str, test: str, shared: int, tmp_path: Path
) -> None:
    good(tmp_path)
    (tmp_path / "Linked" / "c").mkdir(parents=True)
    (tmp_path / "Linked" / "c" / "0.png").symlink_to(tmp_path / "Train" / "b" / "0.png")
    (tmp_path / "Linked" / "b").symlink_to(tmp_path / "Test" / "b")
    (tmp_path / "Linked" / "a").symlink_to(tmp_path / "Train" / "c")
    spec = Case("overlap", good, changes={"train": train, "test": test}).spec(tmp_path)
    found = inspect(spec, tmp_path)
    assert found.problems == ()
    warned = [one for one in all_warnings(spec, found) if "trained on" in one.message]
    assert [(one.path, one.line) for one in warned] == [("data.test", 4)] * bool(shared)
    assert all(f" {shared} of its " in one.message for one in warned)


@pytest.mark.parametrize(("validation", "warns"), [("Test", True), ("Train", False)])
def test_a_test_set_that_chooses_the_best_model_is_a_warning(
    validation: str, *, warns: bool, tmp_path: Path
) -> None:
    good(tmp_path)
    text = Case("chosen", good).text().replace("  test:", f"  validation: {validation}\n  test:")
    spec = loads(text, data_root=tmp_path, base=tmp_path)
    warned = all_warnings(spec, inspect(spec, tmp_path))
    chosen = [one.path for one in warned if "also validated on" in one.message]
    assert chosen == ["data.test"] * warns


def test_weights_that_never_change_are_a_warning(tmp_path: Path) -> None:
    good(tmp_path)

    def warned(steps: int) -> list[str]:
        optimizer = {"SGD": {"gradient_accumulation_steps": steps}}
        document = Case("any", good).spec(tmp_path).document()
        document["compile"]["optimizer"] = optimizer
        spec = from_document(document)
        return [one.path for one in all_warnings(spec, inspect(spec, tmp_path))]

    assert warned(5000) == ["compile.optimizer.SGD.gradient_accumulation_steps"]
    few = Case("any", good).spec(tmp_path).fit.epochs
    assert warned(2) == [] or few == 1


def test_a_subset_without_a_class_is_a_warning(tmp_path: Path) -> None:
    good(tmp_path)
    train = "{folder: Train, validation_split: 0.4, subset: training}"
    spec = Case("lost", good, changes={"train": train, "shuffle": "false"}).spec(tmp_path)
    (warning,) = all_warnings(spec, inspect(spec, tmp_path))
    assert (warning.path, warning.line) == ("data.train", 3)
    assert "classes c" in warning.message


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        # A mistake elsewhere hides nothing.
        ({"train": "None"}, ["data.train"]),
        ({"train": "None", "test": "Nowhere"}, ["data.train", "data.test"]),
        ({"test": "OneClass"}, ["data.test"]),
        # Which classes there are is not known, so only a folder that is not there is certain.
        ({"test": "OneClass", "class_names": "7"}, []),
        ({"test": "Nowhere", "class_names": "7"}, ["data.test"]),
        ({"train": "7", "test": "Nowhere"}, ["data.test"]),
    ],
)
def test_folders_of_a_spec_with_mistakes_are_looked_at(
    changes: dict[str, str], problems: list[str], tmp_path: Path
) -> None:
    good(tmp_path)
    touch(tmp_path, "OneClass/a/1.png")
    text = Case("wrong", good, changes=changes).text().replace("Flatten", "Flaten")
    with pytest.raises(PartlyRead) as refused:
        loads(text, file="small.yaml", data_root=tmp_path, base=tmp_path)
    assert "Flatten" in str(refused.value)
    found = Inspector(tmp_path).inspect_folders(refused.value.folders)
    assert [one.path for one in found.problems] == problems
    assert all(one.line == LINES[one.path] for one in found.problems)
