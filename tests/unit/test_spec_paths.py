"""Paths start from the current folder, lie under the data root, and are stored relative to it."""

from pathlib import Path

import pytest

from fornada.db.states import FailureCode
from fornada.spec import PathRefused, SpecProblems, from_document, loads
from fornada.spec.paths import resolve, store
from fornada.spec.render import to_yaml

TEXT = """\
data: {{train: {path}}}
model: [Flatten, Dense: {{units: classes}}]
compile: {{optimizer: Adam, loss: SparseCategoricalCrossentropy}}
"""


def _train(path: str, base: Path, root: Path) -> str:
    return loads(TEXT.format(path=path), base=base, data_root=root).data.train.folder


def test_a_path_is_stored_relative_to_the_root(tmp_path: Path) -> None:
    base = tmp_path / "project"
    (base / "Data" / "Train").mkdir(parents=True)

    assert _train("Data/Train", base, tmp_path) == "project/Data/Train"
    assert _train("./Data//Train/", base, tmp_path) == "project/Data/Train"
    assert _train(str(base / "Data"), Path("/"), tmp_path) == "project/Data"
    assert _train("Data/Train", base, Path("/")) == str(base / "Data" / "Train")[1:]
    assert _train(".", tmp_path, tmp_path) == "."


def test_the_hash_does_not_depend_on_the_data_root(tmp_path: Path) -> None:
    text = TEXT.format(path="Data/Train")

    here = loads(text, base=tmp_path, data_root=tmp_path)
    there = loads(text, base=Path("/mnt/all"), data_root=Path("/mnt/all"))

    assert here.hash == there.hash
    assert loads(to_yaml(here, tmp_path), base=Path("/"), data_root=tmp_path).hash == here.hash


@pytest.mark.parametrize("path", ["/etc", "..", "a/../b", "~/Data", "../other/a"])
def test_a_path_out_of_the_root_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(SpecProblems) as refused:
        _train(path, tmp_path, tmp_path)

    (problem,) = refused.value.problems
    assert problem.code is FailureCode.PATH_REFUSED
    assert (problem.path, problem.line) == ("data.train", 1)


def test_a_link_out_of_the_root_is_refused_and_one_inside_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "images").mkdir(parents=True)
    (root / "out").symlink_to("/etc")
    (root / "in").symlink_to(root / "images")

    assert _train("in", root, root) == "in"
    assert resolve("in", root) == root / "images"
    for stored in ("out", "out/passwd"):
        with pytest.raises(PathRefused):
            resolve(stored, root)
        with pytest.raises(SpecProblems):
            _train(stored, root, root)


def test_a_data_root_may_be_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    (real / "a").mkdir(parents=True)
    link.symlink_to(real)

    assert store("a", link, link) == "a"
    assert store("a", real, link) == "a"
    assert store("a", link, real) == "a"
    assert resolve("a", link) == real / "a"


@pytest.mark.parametrize("stored", ["/etc", "..", "a/../../b", "a/.."])
def test_a_stored_path_never_leaves_the_root(tmp_path: Path, stored: str) -> None:
    with pytest.raises(PathRefused) as refused:
        resolve(stored, tmp_path)
    assert refused.value.code is FailureCode.PATH_REFUSED


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    with pytest.raises(PathRefused):
        resolve("loop/a", tmp_path)


def test_an_absolute_path_in_a_document_is_refused(tmp_path: Path) -> None:
    document = loads(TEXT.format(path="a"), base=tmp_path, data_root=tmp_path).document()
    document["data"]["train"] = "/etc"

    with pytest.raises(SpecProblems) as refused:
        from_document(document)
    assert refused.value.code is FailureCode.PATH_REFUSED
