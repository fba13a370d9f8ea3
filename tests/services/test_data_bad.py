"""What is wrong with folders and files is named, all at once, before anything is trained."""

import json
import os
import resource
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fornada.data.inspection import all_warnings, inspect
from fornada.db.states import FailureCode
from fornada.settings import Settings
from fornada.spec import from_document
from fornada.spec.values import ClassWeights
from fornada.worker.trainer import preview
from fornada.worker.trainer.data.headers import NoImage, pixels
from fornada.worker.trainer.data.order import epoch_order
from fornada.worker.trainer.data.sets import class_weights, list_sets, read_sets
from fornada.worker.trainer.failures import TrainingFailed
from tests.folder_cases import CASES, NOT_UTF8, Case, good
from tests.services.trainer_jobs import BINARY, document, png, write_images

PIXELS = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path / "Train", {"a": 4, "b": 4})
    write_images(tmp_path / "Test", {"a": 2, "b": 2})
    return tmp_path


def refusal(root: Path, **changes: Any) -> TrainingFailed:
    """Read the spec's folders and give what they are refused with."""
    settings = Settings(max_image_pixels=1_000_000)
    with pytest.raises(TrainingFailed) as caught:
        read_sets(from_document(document(**changes)), root, settings)
    return caught.value


def claimed(width: int, height: int) -> bytes:
    """A PNG that says it is large."""
    good = png(PIXELS)
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return good[:12] + header + struct.pack(">I", zlib.crc32(header)) + good[33:]


def test_all_bad_files_are_named_at_once(root: Path) -> None:
    jpeg = tf.io.encode_jpeg(PIXELS).numpy()
    bad = {
        "Train/a/cut.png": png(PIXELS)[:60],
        "Train/a/empty.png": b"",
        "Train/b/text.png": b"these are words, not pixels",
        "Train/b/header.png": png(PIXELS)[:18],
        "Train/b/giant.png": claimed(60_000, 60_000),
        "Test/a/cut.jpg": jpeg[: len(jpeg) // 2],
        "Test/b/soi.jpg": jpeg[:3],
        "Test/b/webp.jpg": b"RIFF\x24\0\0\0WEBPVP8 ",
        "Test/b/header.bmp": b"BM" + bytes(60),
        "Test/b/header.gif": b"GIF89a" + bytes(4),
    }
    for name, content in bad.items():
        (root / name).write_bytes(content)
    os.mkfifo(root / "Test" / "b" / "pipe.png")
    (root / "Test" / "b" / "self.png").symlink_to("self.png")
    refused = refusal(root)
    assert refused.code is FailureCode.DATA_INVALID
    first, *lines = str(refused).splitlines()
    assert first.startswith("12 files")
    assert [line.split(": ")[0] for line in lines] == sorted(
        [*bad, "Test/b/pipe.png", "Test/b/self.png"]
    )
    reasons = dict(line.split(": ", 1) for line in lines)
    assert reasons["Train/a/empty.png"] == "the file is empty"
    assert reasons["Train/b/text.png"].startswith("not a PNG, JPEG, GIF or BMP file")
    assert reasons["Train/b/giant.png"].startswith("3,600,000,000 pixels; at most 1,000,000")


def test_a_jpeg_called_png_is_read_as_keras_reads_it(root: Path) -> None:
    (root / "Train" / "a" / "x.png").write_bytes(tf.io.encode_jpeg(PIXELS).numpy())
    sets = read_sets(from_document(document()), root, Settings())
    assert len(sets.train) + len(sets.validation or ()) == 9


def test_a_link_out_of_the_root_is_not_read(root: Path, tmp_path_factory: Any) -> None:
    away = tmp_path_factory.mktemp("away") / "x.png"
    away.write_bytes(png(PIXELS))
    (root / "Train" / "a" / "x.png").symlink_to(away)
    refused = refusal(root)
    assert refused.code is FailureCode.PATH_REFUSED
    assert "a/x.png" in str(refused)


def test_a_look_at_wrong_folders_reads_what_lies_in_the_root(
    root: Path, tmp_path_factory: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    away = tmp_path_factory.mktemp("away") / "x.png"
    away.write_bytes(b"words")
    (root / "Train" / "a" / "x.png").symlink_to(away)
    spec = root / "spec.json"
    spec.write_text(json.dumps(document(data__test="None")))
    assert preview.data(spec, root) == preview.EXIT_DONE
    (root / "Train" / "b" / "y.png").write_bytes(b"words")
    capsys.readouterr()
    assert preview.data(spec, root) == preview.EXIT_INVALID
    said = capsys.readouterr().out
    assert "b/y.png" in said
    assert "a/x.png" not in said


def test_all_missing_things_are_named_at_once(root: Path) -> None:
    (root / "Train" / "empty").mkdir()
    (root / "Hollow" / "a").mkdir(parents=True)
    (root / "Hollow" / "b").mkdir()
    refused = refusal(
        root, data__test="None", data__validation="Hollow", data__validation_split=None
    )
    assert refused.code is FailureCode.DATA_MISSING
    lines = [line for line in str(refused).splitlines() if not line.startswith(" ")]
    assert [line.split(": ")[:2] for line in lines] == [
        ["data.train", str(root / "Train")],
        ["data.validation", str(root / "Hollow")],
        ["data.validation", str(root / "Hollow")],
        ["data.test", str(root / "None")],
    ]
    assert "no images in the classes empty" in str(refused)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data__train": "None"}, "None: "),
        ({"data__train": "Train/a"}, "no sub-folders"),
        ({"data__class_names": ["a", "zebra"]}, "no folder for the classes zebra"),
        ({"data__validation_split": 0.01}, "none to validate on"),
    ],
)
def test_missing_data(root: Path, changes: dict[str, Any], words: str) -> None:
    refused = refusal(root, **changes)
    assert refused.code is FailureCode.DATA_MISSING
    assert words in str(refused)


def test_a_class_that_the_test_set_lacks_is_missing(root: Path) -> None:
    write_images(root / "Train2", {"a": 4, "b": 4, "c": 4})
    refused = refusal(root, data__train="Train2")
    assert refused.code is FailureCode.DATA_MISSING
    assert "Test: no folder for the classes c" in str(refused)


def test_an_image_whose_name_is_not_utf8_is_read(root: Path) -> None:
    (root / "Train" / "a" / f"{NOT_UTF8}.png").write_bytes(png(PIXELS))
    sets = read_sets(from_document(document()), root, Settings())
    assert len(sets.train) + len(sets.validation or ()) == 9
    (root / "Train" / "a" / f"{NOT_UTF8}.png").write_bytes(b"words")
    assert "Train/a/caf\\xe9.png" in str(refusal(root))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_job_says_of_folders_what_the_commands_say(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_root = tmp_path / "root"
    good(data_root)
    case.make(data_root)
    spec = case.spec(data_root)
    found = inspect(spec, data_root)
    stored = from_document(spec.document())
    if found.problems:
        with pytest.raises(TrainingFailed) as caught:
            list_sets(stored, data_root)
        assert caught.value.code is found.problems[0].code
        assert str(caught.value) == "\n".join(problem.what for problem in found.problems)
    else:
        assert set(list_sets(stored, data_root)) == {"train", "test"}
    _, *said = capsys.readouterr().out.split("warning: ")
    assert "".join(said) == "".join(f"{one.what}\n" for one in all_warnings(spec, found))


def test_binary_needs_two_classes(root: Path) -> None:
    write_images(root / "Three", {"a": 2, "b": 2, "c": 2})
    refused = refusal(root, data__train="Three", data__test=None, **BINARY)
    assert refused.code is FailureCode.DATA_INVALID
    assert "exactly 2 classes, not 3" in str(refused)


def test_headers_tell_the_size_of_every_format() -> None:
    tall = np.zeros((20, 10, 3), np.uint8)
    files = [png(tall), tf.io.encode_jpeg(tall).numpy()]
    assert [pixels(file) for file in files] == [200, 200]
    bmp = b"BM" + bytes(16) + struct.pack("<ii", 10, -20) + bytes(28)
    assert pixels(bmp) == 200
    assert pixels(gif(frames=3)) == 3 * 65_535**2


def gif(frames: int, sizes: Sequence[tuple[int, int]] = ((65_535, 65_535),)) -> bytes:
    """A small file with many large frames, all of which the decoder would allocate."""
    extension = b"\x21\xf9\x04" + bytes(4) + b"\0"
    shown = b"".join(
        extension + b"\x2c" + struct.pack("<HHHHB", 0, 0, *size, 0) + b"\x02\x01\x44\x00"
        for size in sizes
    )
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + shown * frames + b"\x3b"


def test_frames_of_a_gif_count_for_the_canvas_that_holds_them_all(root: Path) -> None:
    # 131,070 pixels in all; the decoder would lay them onto 4,294,836,225.
    crossed = gif(frames=1, sizes=[(65_535, 1), (1, 65_535)])
    (root / "Train" / "a" / "crossed.gif").write_bytes(crossed)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    refused = refusal(root)

    assert pixels(crossed) == 65_535**2
    assert "a/crossed.gif: 4,294,836,225 pixels" in str(refused)
    # In KiB: nothing like the 12 GiB that its canvas takes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 2**20


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_header_cut_anywhere_is_a_finding(cut: int) -> None:
    # Of a GIF file the decoder gives what comes before the cut: here that is no frame.
    for whole in (png(PIXELS)[:24], tf.io.encode_jpeg(PIXELS).numpy()[:100], gif(frames=2)[:30]):
        with pytest.raises(NoImage):
            pixels(whole[:-cut] if cut < len(whole) else b"")


def test_order_is_a_function_of_seed_and_epoch() -> None:
    orders = [tuple(epoch_order(50, seed, epoch)) for seed in (1, 2) for epoch in (0, 1)]
    assert len(set(orders)) == 4
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert tuple(epoch_order(50, 1, 1)) == orders[1]
    assert list(epoch_order(5, 1, 1, shuffle=False)) == [0, 1, 2, 3, 4]


def test_class_weights_by_name_and_by_index() -> None:
    counts = np.array([1, 1])
    both = ClassWeights({1: 3.0}, {"cat": 2.0})
    assert class_weights(both, ("cat", "dog"), counts) == {0: 2.0, 1: 3.0}
    assert class_weights(ClassWeights({}, {"1": 2.0}), ("1", "0"), counts) == {0: 2.0}
    assert class_weights(ClassWeights({1: 2.0}, {}), ("1", "0"), counts) == {1: 2.0}


def test_balanced_weights_make_up_for_unequal_classes() -> None:
    # 4 / (2 classes * 3 images) and 4 / (2 * 1); a class without images has no part in it.
    balanced = class_weights("balanced", ("a", "b", "c"), np.array([3, 0, 1]))
    assert balanced == {0: pytest.approx(2 / 3), 2: pytest.approx(2.0)}
