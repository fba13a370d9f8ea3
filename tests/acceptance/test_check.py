"""Looking at specs and data before anything is queued: check, render, data check, data import."""

import gzip
import shutil
import struct
from pathlib import Path

import pytest

from tests.acceptance.installed import REPOSITORY, Fornada
from tests.acceptance.specs import small


def test_check_names_every_problem_of_every_file(fornada: Fornada, tmp_path: Path) -> None:
    good = small(tmp_path, "good")
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        good.read_text().replace("Flatten", "Flaten").replace("batch_size: 64", "batch_size: 0")
    )
    done = fornada("check", good, bad, "specs/digits.yaml", "specs/owner.yaml", code=3)
    assert f"{good}: ok" in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith(f"{bad}:")]
    assert len(lines) == 2
    assert "Flatten" in done.stderr
    document = fornada("check", "--json", bad, code=3).document
    assert {problem["code"] for problem in document["problems"]} == {"SPEC_INVALID"}
    assert all(problem["line"] for problem in document["problems"])


def test_a_head_that_does_not_fit_is_a_warning(fornada: Fornada, tmp_path: Path) -> None:
    spec = small(tmp_path)
    # One line says what "ok" does not say.
    (note,) = fornada("check", spec).stderr.splitlines()
    assert "--data" in note
    assert "--build" in note
    assert fornada("check", "-q", spec).stderr == ""
    spec.write_text(spec.read_text().replace(", activation: softmax", ""))
    line = 1 + spec.read_text().splitlines().index("  - Dense: {units: classes}")
    place = "model.3.Dense.activation"
    done = fornada("check", spec)
    assert f"{spec}:{line}  {place}: " in done.stderr
    assert done.stdout == f"{spec}: ok\n"
    assert fornada("check", "-q", spec).stderr == ""
    (found,) = fornada("check", "--json", spec).document["specs"]
    (warning,) = found["warnings"]
    assert (warning["file"], warning["line"], warning["path"]) == (str(spec), line, place)
    assert found["problems"] == []
    done = fornada("submit", "--dry-run", "--json", spec)
    assert done.document[0]["warnings"] == [warning]
    assert place in done.stderr


@pytest.mark.parametrize(
    ("words", "warns"),
    [
        (["ls"], True),
        (["render", "specs/digits.yaml"], True),
        (["check", "--json", "specs/digits.yaml"], True),
        # Nobody reads the warnings of these, or they read no settings.
        (["ls", "-q"], False),
        (["schema", "--path"], False),
    ],
)
def test_a_misspelt_variable_is_a_warning(
    words: list[str], *, warns: bool, fornada: Fornada
) -> None:
    done = fornada.with_settings(FORNADA_LEASE="9", FORNADA_OTHER="x")(*words)
    assert done.stderr.count("FORNADA_LEASE ") == warns
    assert "FORNADA_OTHER" not in done.stderr


def test_check_looks_at_the_folders(fornada: Fornada, tmp_path: Path) -> None:
    done = fornada("check", "--data", small(tmp_path))
    # As the job counts them.
    assert "train: 1800 of the 2000 images" in done.stdout
    assert "validation: 200 of the 2000 images" in done.stdout
    assert "test: 500 images" in done.stdout
    # "ok" does not mean that every image can be decoded.
    assert "fornada data check" in done.stderr
    assert "--build" in done.stderr
    assert fornada("check", "--data", "-q", small(tmp_path)).stderr == ""
    done = fornada("check", "--data", small(tmp_path, "none", train="Data/None"), code=3)
    assert "Data/None" in done.stderr
    assert "relative path" in done.stderr
    assert "train:" not in done.stdout


def test_check_counts_the_images_of_two_subsets_of_a_folder(
    fornada: Fornada, tmp_path: Path
) -> None:
    spec = small(tmp_path)
    part = "{{folder: Data/Test, validation_split: 0.5, subset: {0}}}"
    sets = f"validation: {part.format('training')}\n  test: {part.format('validation')}"
    text = spec.read_text().replace("  validation_split: 0.1\n", "")
    spec.write_text(text.replace("test: Data/Test", sets))
    (found,) = fornada("check", "--data", "--json", spec).document["specs"]
    counted = [(one["role"], one["images"], one["images_in_folder"]) for one in found["data"]]
    assert counted == [("train", 2000, 2000), ("validation", 250, 500), ("test", 250, 500)]
    assert [sum(one["counts"].values()) for one in found["data"]] == [2000, 250, 250]


@pytest.mark.parametrize("words", [("check",), ("data", "check")])
def test_quiet_prints_only_problems(
    fornada: Fornada, tmp_path: Path, words: tuple[str, ...]
) -> None:
    wrong = small(tmp_path)
    wrong.write_text(wrong.read_text().replace("batch_size: 64", "batch_size: 0"))
    done = fornada(*words, "-q", wrong, code=3)
    assert done.stdout == ""
    assert "data.batch_size" in done.stderr
    assert "only problems" in fornada(*words, "--help").stdout


def test_check_looks_at_the_folders_of_a_spec_with_mistakes(
    fornada: Fornada, tmp_path: Path
) -> None:
    wrong = small(tmp_path, "wrong", train="Data/None")
    wrong.write_text(wrong.read_text().replace("batch_size: 64", "batch_size: 0"))
    document = fornada("check", "--data", "--json", wrong, code=3).document
    # In the order of the lines.
    paths = [problem["path"] for problem in document["problems"]]
    assert paths == ["data.train", "data.batch_size"]
    document = fornada("check", "--json", wrong, code=3).document
    assert [problem["path"] for problem in document["problems"]] == ["data.batch_size"]


def test_check_builds_the_model(fornada: Fornada, tmp_path: Path) -> None:
    # 784 * 16 + 16 and 16 * 10 + 10.
    done = fornada("check", "--build", small(tmp_path))
    assert "parameters: 12,730" in done.stdout
    # Keras's table is whole, to its last column.
    assert "Param # " in done.stdout
    assert " 12,560 " in done.stdout
    # The folders are said as --data says them.
    folders = fornada("check", "--data", small(tmp_path)).stdout
    assert done.stdout.startswith(folders)
    assert "images in 10 classes" not in done.stdout
    wrong = small(tmp_path, "wrong")
    # Only Keras looks at axes.
    axis = "  - Flatten\n  - BatchNormalization: {axis: 3}\n"
    wrong.write_text(wrong.read_text().replace("  - Flatten\n", axis))
    done = fornada("check", "--build", wrong, code=3)
    assert "MODEL_INVALID" in done.stderr
    # A missing Flatten is found without Keras.
    wrong.write_text(wrong.read_text().replace(axis, ""))
    document = fornada("check", "--json", wrong, code=3).document
    (problem,) = document["problems"]
    assert (problem["path"], problem["code"]) == ("model.2.Dense", "MODEL_INVALID")


def test_render_is_a_spec_of_the_same_hash(fornada: Fornada, tmp_path: Path) -> None:
    spec = small(tmp_path)
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(fornada("render", spec).stdout)
    assert "use_bias: true" in rendered.read_text()
    first, second = fornada("submit", "--dry-run", "--json", spec, rendered).document
    assert first["spec_hash"] == second["spec_hash"]
    assert first["spec"] == second["spec"]


def _copied(train: Path, count: int) -> Path:
    """A folder with so many images of the first two digits."""
    for label in "01":
        source = REPOSITORY / "Data" / "Train" / label
        (train / label).mkdir(parents=True)
        for image in sorted(source.iterdir())[:count]:
            shutil.copy(image, train / label)
    return train


def test_data_check_names_every_bad_image(fornada: Fornada, tmp_path: Path) -> None:
    train = _copied(tmp_path / "Train", 20)
    spec = small(tmp_path, train=str(train))
    spec.write_text(spec.read_text().replace("  test: Data/Test\n", ""))
    assert "train 36, validation 4" in fornada("data", "check", spec).stdout
    (train / "0" / "empty.png").write_bytes(b"")
    (train / "1" / "text.png").write_text("not an image")
    done = fornada("data", "check", spec, code=3)
    assert "0/empty.png" in done.stderr
    assert "1/text.png" in done.stderr


def test_data_check_names_bad_images_and_missing_folders_at_once(
    fornada: Fornada, tmp_path: Path
) -> None:
    train = _copied(tmp_path / "Train", 5)
    (train / "1" / "text.png").write_text("not an image")
    (train / "2").mkdir()
    spec = small(tmp_path, train=str(train))
    spec.write_text(spec.read_text().replace("Data/Test", "Data/None"))
    said = fornada("data", "check", spec, code=3).stderr
    assert "Data/None: " in said
    assert "no images in the classes 2" in said
    assert said.count("1/text.png: not a PNG") == 1
    assert said.startswith(f"{spec}:3  data.train: ")
    assert f"{spec}:4  data.test: " in said
    (document,) = fornada("data", "check", "--json", spec, code=3).document
    assert [(one["code"], one["line"]) for one in document["problems"]] == [
        ("DATA_MISSING", 3),
        ("DATA_MISSING", 4),
    ]


def test_data_import_writes_folders_that_train(fornada: Fornada, tmp_path: Path) -> None:
    source = tmp_path / "idx"
    source.mkdir()
    labels = bytes(range(10)) * 3
    for half, packed in (("train", True), ("t10k", False)):
        images = struct.pack(">4I", 0x803, 30, 28, 28) + bytes(30 * 28 * 28)
        named = struct.pack(">2I", 0x801, 30) + labels
        for name, content in (("images-idx3", images), ("labels-idx1", named)):
            file = source / f"{half}-{name}-ubyte"
            if packed:
                file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(content))
            else:
                file.write_bytes(content)
    out = tmp_path / "out"
    done = fornada("data", "import", source, out, "--per-class-train", 2)
    assert done.stdout == f"{out}/Train: 20 images\n{out}/Test: 30 images\n"
    assert len(list(out.glob("Train/*/*.png"))) == 20
    assert "already exists" in fornada("data", "import", source, out, code=5).stderr
    spec = small(tmp_path, train=str(out / "Train"))
    done = fornada("check", "--data", spec)
    assert "train: 18 of the 20 images" in done.stdout


@pytest.mark.parametrize("words", [("check",), ("render",), ("data", "check"), ("submit",)])
def test_a_spec_is_needed(fornada: Fornada, words: tuple[str, ...]) -> None:
    assert "Missing argument" in fornada(*words, code=2).stderr


@pytest.mark.parametrize("name", ["check", "render", "submit", "run"])
def test_a_folder_is_no_spec_as_a_missing_file_is_none(
    fornada: Fornada, tmp_path: Path, name: str
) -> None:
    for place in (tmp_path, tmp_path / "missing.yaml"):
        assert str(place) in fornada(name, place, code=3).stderr
    assert fornada.processes() == {}
