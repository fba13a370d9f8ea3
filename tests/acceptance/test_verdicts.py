"""Every command says the same of folders that a job would fail on, and of those it warns about."""

from pathlib import Path

from tests.acceptance.installed import Fornada
from tests.folder_cases import LINES, NOT_UTF8, Case, good, touch


def written(root: Path, **changes: str) -> Path:
    """A spec of the folders below `root`, of which much is wrong."""
    file = root / "small.yaml"
    folders = {"train": str(root / "Train"), "test": str(root / "Test")}
    file.write_text(Case("any", good, changes={**folders, **changes}).text())
    return file


def test_the_commands_agree_on_what_is_wrong(fornada: Fornada, tmp_path: Path) -> None:
    good(tmp_path)
    touch(tmp_path, f"Train/a/{NOT_UTF8}.txt", f"Test/{NOT_UTF8}/1.png")
    (tmp_path / "Test" / "a").rename(tmp_path / "Test" / "A")
    spec = written(tmp_path, units="2", class_weight="{zebra: 1}")
    checked = fornada("check", "--data", spec, code=3)
    problems = [line for line in checked.stderr.splitlines() if line.startswith(f"{spec}:")]
    warnings = [line for line in checked.stderr.splitlines() if line.startswith("Warning: ")]
    assert [line.split(" ")[0] for line in problems] == [
        f"{spec}:{LINES[path]}"
        for path in ("data.test", "model.1.Dense.units", "fit.class_weight.zebra")
    ]
    assert [line.split("  ")[0] for line in warnings] == [f"Warning: {spec}:{LINES['data.test']}"]
    for words in (("submit",), ("submit", "--dry-run"), ("run",), ("data", "check")):
        said = fornada(*words, spec, code=3).stderr.splitlines()
        assert [line for line in said if line.startswith(f"{spec}:")][:3] == problems, words
        assert [line for line in said if line.startswith("Warning: ")] == warnings, words
    (document,) = fornada("check", "--data", "--json", spec, code=3).document["specs"]
    assert [(one["path"], one["line"]) for one in document["warnings"]] == [("data.test", 4)]
    assert len(document["problems"]) == 3
    assert fornada("ls", "-q").stdout == ""


def test_a_warning_refuses_nothing(fornada: Fornada, tmp_path: Path) -> None:
    good(tmp_path)
    touch(tmp_path, "Test/d/1.png", "Test/d/2.png")
    (tmp_path / "Test" / "b" / "9.png").unlink()
    spec = written(tmp_path)
    *warnings, note = fornada("check", "--data", spec).stderr.splitlines()
    assert len(warnings) == 2
    assert "fornada data check" in note
    assert "d (2 images)" in warnings[0]
    assert fornada("submit", "--hold", spec).stderr.splitlines()[:2] == warnings
    assert fornada("clone", "@last", "--hold").stderr.count("Warning: job 1") == 2
    # The worker of this machine would not find the folder either.
    (tmp_path / "Train").rename(tmp_path / "Gone")
    assert "data.train: " in fornada("clone", "@last", "--hold", code=3).stderr
    assert fornada("ls", "-q").stdout.split() == ["2", "1"]


def test_with_a_server_folders_are_warnings(fornada: Fornada, tmp_path: Path) -> None:
    good(tmp_path)
    spec = written(tmp_path, units="2", test=str(tmp_path / "None"))
    server = fornada.with_settings(
        FORNADA_DATABASE_URL=f"sqlite:///{tmp_path / 'fornada.db'}",
        FORNADA_BROKER_URL="redis://127.0.0.1:1/0",
        FORNADA_DATA_ROOT=str(tmp_path),
    )
    said = server("submit", "--dry-run", spec).stderr
    assert f"Warning: {spec}:{LINES['data.test']}  data.test: " in said
    assert f"Warning: {spec}:{LINES['model.1.Dense.units']}  " in said
