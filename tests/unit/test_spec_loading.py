"""A spec after it was read: its values, document, hash and monitor."""

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fornada.db.states import FailureCode
from fornada.spec import (
    DataFolder,
    KerasObject,
    Monitor,
    Spec,
    SpecProblems,
    from_document,
    load,
    loads,
)
from fornada.spec.files import changes_of
from fornada.spec.loading import from_python
from fornada.spec.render import to_yaml

REPOSITORY = Path(__file__).parents[2]
ROOT = Path("/srv/data")
SMALL = """\
data: {{train: Train{data}}}
model: [Flatten, Dense: {{units: classes}}]
compile: {{optimizer: adam, loss: sparse_categorical_crossentropy{compile}}}
callbacks: [{callbacks}]
"""


def small(*, data: str = "", compile: str = "", callbacks: str = "") -> Spec:
    """A small spec, with additions to its sections."""
    text = SMALL.format(data=data, compile=compile, callbacks=callbacks)
    return loads(text, data_root=ROOT, base=ROOT)


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "specs").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_example_loads(path: Path) -> None:
    spec = load(path, base=REPOSITORY)

    assert from_document(spec.document()) == spec


def test_the_owners_settings_are_read_as_written() -> None:
    spec = load(REPOSITORY / "specs" / "owner.yaml", base=ROOT, data_root=ROOT)

    assert spec.data.train == DataFolder("Data/Train", 0.1, "training")
    assert spec.data.validation == DataFolder("Data/Test", 0.1, "validation")
    assert (spec.data.image_size, spec.data.batch_size, spec.data.seed) == ((28, 28), 64, 1)
    assert [layer.class_name for layer in spec.model] == [
        "Input",
        "Rescaling",
        "Flatten",
        "Dense",
        "Dropout",
        "Dense",
        "Dense",
    ]
    assert spec.model[1].arguments["scale"] == 1 / 255
    hidden = spec.model[3].arguments
    assert (hidden["units"], hidden["activation"]) == (64, "relu")
    random_normal = {"mean": 0.0, "stddev": 0.05, "seed": None}
    assert hidden["kernel_initializer"] == KerasObject("RandomNormal", random_normal)
    assert spec.compile.optimizer.arguments["learning_rate"] == 0.001
    assert spec.callbacks[0].arguments["patience"] == 5
    assert spec.fit.epochs == 100
    assert spec.monitor == Monitor("loss", "min")


def test_defaults_are_those_of_keras_and_of_image_dataset_from_directory() -> None:
    spec = small()

    assert spec.name == "spec"
    assert spec.data.image_size == (256, 256)
    assert spec.data.interpolation == "bilinear"
    assert spec.data.seed == 0
    assert spec.fit.epochs == 1
    assert spec.compile.optimizer.arguments["beta_2"] == 0.999
    assert spec.model[0].arguments == {
        "data_format": "channels_last",
        "trainable": True,
        "name": None,
    }
    assert (spec.resources.gpus, spec.resources.queue, spec.retry.attempts) == (
        "auto",
        "default",
        3,
    )


@pytest.mark.parametrize(
    ("written", "activation"),
    [
        ("relu", "relu"),
        ("ReLU", "relu"),
        ("Softmax", "softmax"),
        ("swish", "silu"),
        ("{relu: {}}", "relu"),
        ("{relu: {max_value: null}}", "relu"),
        ("{leaky_relu: {negative_slope: 0.2}}", "leaky_relu"),
        ("{LeakyReLU: {negative_slope: 0.1}}", KerasObject("leaky_relu", {"negative_slope": 0.1})),
        ("null", None),
    ],
)
def test_an_activation_is_a_name_unless_its_arguments_differ(written: str, activation: Any) -> None:
    text = SMALL.format(data="", compile="", callbacks="").replace(
        "units: classes", f"units: 3, activation: {written}"
    )

    spec = loads(text, data_root=ROOT, base=ROOT)

    assert spec.model[-1].arguments["activation"] == activation


def test_a_metric_function_with_arguments_becomes_the_class_of_the_same_name() -> None:
    spec = small(compile=", metrics: [sparse_top_k_categorical_accuracy: {k: 3}]")

    (metric,) = spec.compile.metrics
    assert metric.class_name == "SparseTopKCategoricalAccuracy"
    assert metric.arguments["k"] == 3
    assert spec.produces == ("loss", "sparse_top_k_categorical_accuracy")


def test_one_number_for_height_and_width_is_kept_as_two() -> None:
    text = SMALL.format(data="", compile="", callbacks="").replace(
        "[Flatten",
        "[Conv2D: {filters: 1, kernel_size: 3}, ZeroPadding2D: {padding: [1, [2, 0]]}, Flatten",
    )

    spec = loads(text, data_root=ROOT, base=ROOT)

    assert spec.model[0].arguments["kernel_size"] == (3, 3)
    assert spec.model[1].arguments["padding"] == ((1, 1), (2, 0))


@pytest.mark.parametrize(
    ("data", "compile_", "callbacks", "produces", "monitor"),
    [
        ("", "", "", ("loss",), Monitor("loss", "min")),
        (", validation_split: 0.1", "", "", ("loss", "val_loss"), Monitor("val_loss", "min")),
        (
            ", validation: Test",
            ", metrics: [accuracy]",
            "{ModelCheckpoint: {monitor: val_accuracy}}, "
            "{ModelCheckpoint: {monitor: loss, filepath: loss.keras}}",
            ("loss", "val_loss", "accuracy", "val_accuracy"),
            Monitor("val_accuracy", "max"),
        ),
        (
            "",
            ", metrics: [{SparseCategoricalAccuracy: {name: right}}]",
            "{ReduceLROnPlateau: {monitor: right}}",
            ("loss", "right", "learning_rate"),
            Monitor("loss", "min"),
        ),
    ],
)
def test_names_of_the_history_and_the_deciding_monitor(
    data: str, compile_: str, callbacks: str, produces: tuple[str, ...], monitor: Monitor
) -> None:
    spec = small(data=data, compile=compile_, callbacks=callbacks)

    assert spec.produces == produces
    assert spec.monitor == monitor


def test_the_hash_depends_only_on_what_decides_the_numbers() -> None:
    spec = small()
    others = {
        "name: b\ntags: {a: b}\nresources: {priority: 3}\nretry: {attempts: 1}\n": True,
        "fit: {epochs: 2}\n": False,
    }

    for more, same in others.items():
        text = more + SMALL.format(data="", compile="", callbacks="")
        assert (loads(text, data_root=ROOT, base=ROOT).hash == spec.hash) is same
    assert small(data=", seed: 1").hash != spec.hash
    assert small(data=", seed: 0").hash == spec.hash
    assert len(spec.hash) == 64


VALIDATION = "{folder: Test, validation_split: 0.1, subset: validation}"


@pytest.mark.parametrize(
    ("written", "as_before", "document"),
    [
        ("validation: Test", "validation: Test", {"folder": "Test", "split": None}),
        (
            "validation: {folder: Test}",
            "validation: Test",
            {"folder": "Test", "split": None},
        ),
        (
            f"validation: {VALIDATION}",
            "validation: {folder: Test, split: 0.1}",
            {"folder": "Test", "split": 0.1},
        ),
        ("test: {folder: Test}", "test: Test", "Test"),
        ("test: {folder: Test, validation_split: null, subset: null}", "test: Test", "Test"),
    ],
)
def test_a_new_spelling_with_an_old_meaning_has_the_old_document_and_hash(
    written: str, as_before: str, document: Any
) -> None:
    spec, before = small(data=f", {written}"), small(data=f", {as_before}")

    role = written.partition(":")[0]
    assert spec.document()["data"][role] == document
    assert spec.document() == before.document()
    assert spec.hash == before.hash


def test_hashes_of_specs_with_folders_are_those_of_version_0_1() -> None:
    """The hashes are from before folders could have a subset. Results from then still count."""
    assert small(data=", validation: {folder: Test, split: 0.1}, test: Test").hash == (
        "7626c4b9d57fcbb87f53156bd741bfa501a0ef0a07cecadca0efe91c6f22e016"
    )
    assert small(data=", validation: Test").hash == (
        "13929c107617431c786e4e48dff410e94652edef2a0a774ed8fba9276ddf4a76"
    )


@pytest.mark.parametrize("role", ["train", "validation", "test"])
@pytest.mark.parametrize("subset", ["training", "validation"])
def test_a_subset_survives_document_and_render(role: str, subset: str, tmp_path: Path) -> None:
    data = {"train": "Train", role: f"{{folder: Some, validation_split: 0.2, subset: {subset}}}"}
    text = SMALL.format(data="", compile="", callbacks="").replace(
        "train: Train", ", ".join(f"{name}: {value}" for name, value in data.items())
    )

    spec = loads(text, data_root=tmp_path, base=tmp_path)

    folder = getattr(spec.data, role)
    assert folder == DataFolder("Some", 0.2, subset)  # type: ignore[arg-type]
    assert from_document(spec.document()) == spec
    again = loads(to_yaml(spec, tmp_path), data_root=tmp_path)
    assert (again, again.hash) == (spec, spec.hash)
    other = {"training": "validation", "validation": "training"}[subset]
    text = text.replace(f"subset: {subset}", f"subset: {other}")
    assert loads(text, data_root=tmp_path, base=tmp_path).hash != spec.hash


def test_with_classes_puts_the_number_in_and_leaves_names_alone() -> None:
    text = SMALL.format(data="", compile="", callbacks="").replace(
        "units: classes", "units: classes, name: classes"
    )

    spec = loads(text, data_root=ROOT, base=ROOT).with_classes(10)

    assert spec.model[-1].arguments["units"] == 10
    assert spec.model[-1].arguments["name"] == "classes"


def test_tags_are_text_as_written() -> None:
    spec = loads(
        "tags: {fold: 3, late: no, share: 0.10}\n"
        + SMALL.format(data="", compile="", callbacks=""),
        data_root=ROOT,
        base=ROOT,
    )

    assert spec.tags == {"fold": "3", "late": "no", "share": "0.10"}


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("1d", 86400), ("1.5", 1.5)],
)
def test_times_are_kept_in_seconds(written: str, seconds: float) -> None:
    text = SMALL.format(data="", compile="", callbacks="")

    spec = loads(f"{text}resources: {{time_limit: {written}}}\n", data_root=ROOT, base=ROOT)

    assert spec.resources.time_limit_s == seconds
    assert spec.document()["resources"]["time_limit"] == seconds


def test_the_default_name_is_that_of_the_file() -> None:
    text = SMALL.format(data="", compile="", callbacks="")

    assert loads(text, file="specs/mine.yaml", data_root=ROOT, base=ROOT).name == "mine"
    assert loads(text, file="<stdin>", data_root=ROOT, base=ROOT).name == "spec"


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("été", "été"),
        # As macOS writes it.
        ("e\u0301te\u0301", "été"),
        ("日本語", "日本語"),
        ("हिन्दी", "हिन्दी"),
        ("v1.2", "v1.2"),
    ],
)
def test_a_name_has_letters_of_any_language(stem: str, name: str) -> None:
    text = SMALL.format(data="", compile="", callbacks="")

    of_file = loads(text, file=f"{stem}.yaml", data_root=ROOT, base=ROOT)
    in_text = loads(f"name: {stem}\n{text}", data_root=ROOT, base=ROOT)
    by_set = loads(text, overrides=[f"name={stem}"], data_root=ROOT, base=ROOT)
    by_flag = loads(text, overrides=changes_of(name=stem), data_root=ROOT, base=ROOT)

    assert [spec.name for spec in (of_file, in_text, by_set, by_flag)] == [name] * 4
    assert "name" not in {warning.path for warning in of_file.warnings}


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("my run (final)", "my-run-final"),
        ("a - b", "a-b"),
        ("fold #3_", "fold-3_"),
        ("a..b", "a.b"),
        ("x" * 80, "x" * 64),
        ("🐱", "spec"),
        ("🐱 cats", "cats"),
    ],
)
def test_what_can_be_kept_of_the_name_of_a_file_is_kept_with_a_note(stem: str, name: str) -> None:
    text = SMALL.format(data="", compile="", callbacks="")

    spec = loads(text, file=f"{stem}.yaml", data_root=ROOT, base=ROOT)

    assert spec.name == name
    (warning,) = [warning for warning in spec.warnings if warning.path == "name"]
    assert f'"{name}"' in warning.message
    named = loads(f"name: mine\n{text}", file=f"{stem}.yaml", data_root=ROOT, base=ROOT)
    assert named.name == "mine"
    assert "name" not in {warning.path for warning in named.warnings}


def test_a_wrong_name_in_the_text_is_refused_with_what_can_be_kept_of_it() -> None:
    text = SMALL.format(data="", compile="", callbacks="")

    for wrong in ("name: my run", "tags: {my run: x}"):
        with pytest.raises(SpecProblems, match='Did you mean "my-run"'):
            loads(f"{wrong}\n{text}", data_root=ROOT, base=ROOT)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (changes_of(name="my run"), "--name my run  name: "),
        (changes_of(tags={"my tag": "x"}), "--tag my tag=x  tags.my tag: "),
        (changes_of(queue="a b"), "--queue a b  resources.queue: "),
        (changes_of(priority=1000), "--priority 1000  resources.priority: "),
        (changes_of(time_limit="soon"), "--time-limit soon  resources.time_limit: "),
        (changes_of(["name=my run"]), "--set name=my run  name: "),
    ],
)
def test_a_refusal_names_what_the_person_gave(given: tuple[str, ...], shown: str) -> None:
    text = SMALL.format(data="", compile="", callbacks="")

    with pytest.raises(SpecProblems) as refused:
        loads(text, overrides=given, data_root=ROOT, base=ROOT)
    assert str(refused.value).startswith(shown)


def test_tags_hold_any_sign_however_they_are_given() -> None:
    text = SMALL.format(data="", compile="", callbacks="")
    decomposed = {"cafe\u0301": "re\u0301sume\u0301 🐱"}

    in_text = loads(f"tags: {{café: résumé 🐱}}\n{text}", data_root=ROOT, base=ROOT)
    by_flag = loads(text, overrides=changes_of(tags=decomposed), data_root=ROOT, base=ROOT)
    both = loads(
        f"tags: {{café: x}}\n{text}",
        overrides=changes_of({f"tags.{name}": tag for name, tag in decomposed.items()}),
        data_root=ROOT,
        base=ROOT,
    )

    for spec in (in_text, by_flag, both):
        assert spec.tags == {"café": "résumé 🐱"}


@pytest.mark.parametrize(
    ("encoding", "command"),
    [
        ("utf-16", "iconv -f UTF-16 -t UTF-8 'a b.yaml' > 'a b-utf8.yaml'"),
        ("utf-16-le", "iconv -f UTF-16LE -t UTF-8"),
        ("utf-16-be", "iconv -f UTF-16BE -t UTF-8"),
        ("cp1252", "iconv -f WINDOWS-1252 -t UTF-8"),
    ],
)
def test_a_spec_in_another_encoding_is_told_how_to_convert(encoding: str, command: str) -> None:
    with pytest.raises(SpecProblems) as refused:
        loads("name: été\n".encode(encoding), file="a b.yaml", data_root=ROOT, base=ROOT)
    assert command in str(refused.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ((REPOSITORY / "Data/Test/3/04120.png").read_bytes(), "PNG image"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "JPEG image"),
        (gzip.compress(b"name: a"), "gzip"),
        (b"PK\x03\x04\x14\x00", "models of Keras"),
        (bytes(range(256)), "not a text"),
        (b"\x00\x00\x01\x00\x80", "not a text"),
    ],
    # Not the bytes: those of gzip have the time in them.
    ids=["png", "jpeg", "gzip", "zip", "all bytes", "icon"],
)
def test_what_is_no_text_is_told_as_that(content: bytes, says: str) -> None:
    with pytest.raises(SpecProblems) as refused:
        loads(content, file="x", data_root=ROOT, base=ROOT)
    (problem,) = refused.value.problems
    assert (problem.line, problem.code) == (1, FailureCode.SPEC_SYNTAX)
    assert says in problem.message
    assert "iconv" not in problem.message


def test_a_dict_that_pyyaml_read_is_the_same_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    # The paths of a dict start from the current folder.
    monkeypatch.chdir(REPOSITORY)
    text = SMALL.format(data="", compile="", callbacks="").replace(
        "optimizer: adam", "optimizer: {Adam: {learning_rate: 1e-3, epsilon: 1E-8}}"
    )
    read = yaml.safe_load(text)
    assert read["compile"]["optimizer"]["Adam"]["learning_rate"] == "1e-3"

    spec = from_python(read, data_root=REPOSITORY)

    assert spec.compile.optimizer.arguments["learning_rate"] == 0.001
    assert spec.hash == loads(text, data_root=REPOSITORY, base=REPOSITORY).hash
    # A text in a place for texts is still a text, and a number in quotes none.
    assert from_python({**read, "name": "1e-3"}, data_root=REPOSITORY).name == "1e-3"
    read["compile"]["optimizer"]["Adam"]["learning_rate"] = "0.001"
    with pytest.raises(SpecProblems, match="without quotes"):
        from_python(read, data_root=REPOSITORY)


@pytest.mark.parametrize(
    "part",
    [
        "name: no",
        "resources: {queue: on}",
        "fit: {class_weight: {no: 1, yes: 2}}",
        "tags: {begun: 2026-01-31}",
    ],
)
def test_what_pyyaml_reads_in_another_way_is_told(part: str) -> None:
    text = SMALL.format(data="", compile="", callbacks="") + part
    loads(text, data_root=ROOT, base=ROOT)

    with pytest.raises(SpecProblems, match="PyYAML reads"):
        from_python(yaml.safe_load(text), data_root=ROOT)


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(SpecProblems, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(SpecProblems, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"name: a\ntags: {a: \xff}\n")

    with pytest.raises(SpecProblems) as refused:
        load(path)

    (problem,) = refused.value.problems
    assert (problem.line, problem.code) == (2, FailureCode.SPEC_SYNTAX)
    assert "0xff is not UTF-8" in problem.message


def test_a_model_too_large_is_refused_before_keras() -> None:
    text = SMALL.format(data="", compile="", callbacks="")

    for units in (10**12, 10**15, 2**53):
        with pytest.raises(SpecProblems) as refused:
            loads(text.replace("classes", str(units)), data_root=ROOT, base=ROOT)
        assert refused.value.code is FailureCode.RESOURCE_LIMIT


def test_neither_keras_nor_yaml_is_imported_with_the_package() -> None:
    program = (
        "import sys, fornada.spec\n"
        "heavy = {'yaml', 'keras', 'tensorflow', 'numpy', 'pydantic', 'sqlalchemy', 'celery'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    run = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, check=True)

    assert run.stdout == b"[]\n"
