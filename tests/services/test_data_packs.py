"""Packs of real images: made once, noticed when damaged, and the same numbers without them."""

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from fornada.data.digests import Digests
from fornada.data.packs import PIXELS, Packs
from fornada.db.states import FailureCode
from fornada.settings import Settings
from fornada.spec import from_document
from fornada.worker.messages import EpochReport, Finished
from fornada.worker.trainer.data import pack as packing
from fornada.worker.trainer.data import sets as reading
from fornada.worker.trainer.data.decode import Observer
from fornada.worker.trainer.data.pixels import Rows
from fornada.worker.trainer.data.sets import Sets, read_sets
from fornada.worker.trainer.data.streamed import Files
from fornada.worker.trainer.data.threads import ALONE, Turns
from fornada.worker.trainer.failures import TrainingFailed
from tests.services.trainer_jobs import TrainerProcess, document, job, png, write_images

# Long before any test: such files are remembered.
THEN_S = 1_700_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path / "Train", {"a": 40, "b": 41, "c": 39})
    write_images(tmp_path / "Test", {"a": 5, "b": 6, "c": 4}, seed=1)
    for file in tmp_path.rglob("*.png"):
        os.utime(file, (THEN_S, THEN_S))
    return tmp_path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def read(root: Path, settings: Settings, **data: Any) -> Sets:
    spec = from_document(document(**{f"data__{name}": value for name, value in data.items()}))
    return read_sets(spec, root, settings)


def everything(sets: Sets) -> list[Any]:
    """All pixels of all sets."""
    return [
        np.asarray(images.pixels[np.arange(len(images))], np.float32)
        for images in (sets.train, sets.validation, sets.test)
        if images is not None
    ]


def assert_same(one: Sets, other: Sets) -> None:
    assert one.fingerprint == other.fingerprint
    for mine, theirs in zip(everything(one), everything(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def meet_while_reading(turns: Turns, timeout_s: float) -> None:
    """Two threads that read, each until the other one does."""
    both = threading.Barrier(2, timeout=timeout_s)

    def read_one() -> None:
        with turns.take():
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        for reading in [pool.submit(read_one) for _ in range(2)]:
            reading.result()


def read_in_turn(turns: Turns, waits_s: Sequence[float]) -> None:
    """Read files in one turn, each after a wait such as a disk has."""
    with turns.take() as one_more:
        for wait_s in waits_s:
            threading.Event().wait(wait_s)
            one_more()


def test_files_that_are_slow_to_come_are_read_side_by_side() -> None:
    turns = Turns()
    with pytest.raises(threading.BrokenBarrierError):
        meet_while_reading(turns, 0.2)
    read_in_turn(turns, waits_s=[0.01, 0.01, 0])
    meet_while_reading(turns, 60)


def test_one_file_that_is_slow_to_come_does_not_end_the_turns() -> None:
    turns = Turns()
    read_in_turn(turns, waits_s=[0.01, 0, 0])
    with pytest.raises(threading.BrokenBarrierError):
        meet_while_reading(turns, 0.2)


def test_turns_are_taken_again_once_files_come_fast() -> None:
    turns = Turns()
    read_in_turn(turns, waits_s=[0.01])
    for _ in range(ALONE):
        read_in_turn(turns, waits_s=[0, 0, 0])
    with pytest.raises(threading.BrokenBarrierError):
        meet_while_reading(turns, 0.2)


def test_shuffles_and_splits_share_a_pack(root: Path, settings: Settings) -> None:
    first = read(root, settings)
    again = read(root, settings, seed=7, validation_split=0.4)
    read(root, settings, shuffle=False, validation_split=None, validation="Test")
    assert first.fingerprint == again.fingerprint
    train, test = sorted(Packs.of(settings).all(), key=lambda pack: -pack.facts.count)
    assert (train.facts.count, test.facts.count) == (120, 15)
    assert train.facts.classes == {"a": 40, "b": 41, "c": 39}
    assert train.facts.dtype == "uint8"
    pixels = np.load(train.folder / PIXELS)
    assert pixels.shape == (120, 8, 8, 3)


def test_a_second_look_reads_no_file(root: Path, settings: Settings) -> None:
    first = read(root, settings)
    changed = root / "Train" / "a" / "000.png"
    content = changed.read_bytes()
    # Nobody notices what neither size nor time tells: that is how it is known that nobody looks.
    changed.write_bytes(bytes(len(content)))
    os.utime(changed, (THEN_S, THEN_S))
    assert_same(read(root, settings), first)
    os.utime(changed, (THEN_S + 1, THEN_S + 1))
    with pytest.raises(TrainingFailed, match=r"Train/a/000\.png"):
        read(root, settings)
    changed.write_bytes(content)
    assert_same(read(root, settings), first)


def test_a_file_changed_just_now_is_not_remembered(root: Path, settings: Settings) -> None:
    new = root / "Train" / "a" / "new.png"
    new.write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
    read(root, settings)
    known = Digests(root / "Train", settings).known(["a/new.png", "a/000.png"])
    assert known.keys() == {"a/000.png"}


def test_a_folder_that_was_moved_uses_the_same_pack(root: Path, settings: Settings) -> None:
    first = read(root, settings)
    copy = root / "copy"
    copy.mkdir()
    for name in ("Train", "Test"):
        (root / name).rename(copy / name)
    assert_same(read(copy, settings), first)
    assert len(Packs.of(settings).all()) == 2


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (flip, PIXELS),
        (cut, PIXELS),
        (Path.unlink, PIXELS),
        (cut, "pack.json"),
        (Path.unlink, "pack.json"),
    ],
)
def test_a_damaged_pack_is_made_again(
    damage: Any, name: str, root: Path, settings: Settings
) -> None:
    first = everything(read(root, settings))
    packs = Packs.of(settings)
    for pack in packs.all():
        damage(pack.folder / name)
    for before, now in zip(first, everything(read(root, settings)), strict=True):
        np.testing.assert_array_equal(before, now)
    assert len(packs.all()) == 2
    for pack in packs.all():
        assert packing.mapped(pack, (pack.facts.count, 8, 8, 3), Observer()) is not None


def test_a_pack_is_in_use_as_long_as_its_pixels(root: Path, settings: Settings) -> None:
    sets = read(root, settings, validation_split=None, shuffle=False)
    assert isinstance(sets.train.pixels, np.ndarray)
    assert not sets.train.pixels.flags.writeable
    packs = Packs.of(settings)
    assert all(pack.in_use for pack in packs.all())
    assert packs.gc(everything=True) == []
    del sets
    gc.collect()
    assert len(packs.gc(everything=True)) == 2


@pytest.mark.parametrize("pack", ["exact", "uint8"])
@pytest.mark.parametrize("look", [{}, {"image_size": [9, 7], "interpolation": "bicubic"}])
def test_without_room_the_same_pixels_come_from_memory_or_files(
    root: Path,
    settings: Settings,
    look: dict[str, Any],
    pack: str,
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packed = read(root, settings, pack=pack, **look)
    none = replace(settings, home=root / "other", max_pack_bytes=0)
    held = read(root, none, pack=pack, **look)
    assert "not packed" in capsys.readouterr().out
    assert isinstance(held.train.pixels, np.ndarray)
    assert held.train.pixels.dtype == packed.train.pixels.dtype
    assert_same(held, packed)
    monkeypatch.setattr(packing, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 1000)
    streamed = read(root, none, pack=pack, **look)
    assert "decoded anew in each epoch" in capsys.readouterr().out
    assert isinstance(streamed.train.pixels, Rows)
    assert_same(streamed, packed)
    assert not any(pack.facts.dtype for pack in Packs.of(none).all())
    # Larger than memory, and packed: gathered from the map.
    mapped = read(root, settings, pack=pack, **look)
    assert isinstance(mapped.train.pixels, Rows)
    assert_same(mapped, packed)


def test_a_home_that_cannot_be_written_packs_nothing(root: Path, settings: Settings) -> None:
    packed = read(root, settings)
    (root / "file").write_text("no folder")
    assert_same(read(root, replace(settings, home=root / "file")), packed)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos5"])
def test_uint8_is_keras_rounded(interpolation: str, root: Path, settings: Settings) -> None:
    look = {"image_size": (13, 6), "interpolation": interpolation}
    found = read(root, settings, pack="uint8", shuffle=False, validation_split=None, **look)
    data = keras.utils.image_dataset_from_directory(
        root / "Train", shuffle=False, verbose=False, **look
    )
    exact = np.concatenate([images for images, _ in data])
    assert found.train.pixels.dtype == np.uint8
    assert not np.array_equal(exact, found.train.pixels[np.arange(120)])
    if interpolation != "bilinear":
        assert exact.min() < 0
        assert exact.max() > 255
    np.testing.assert_array_equal(
        found.train.pixels[np.arange(120)], np.clip(np.rint(exact), 0, 255)
    )


@pytest.mark.parametrize("odd", [None, (8, 8, 1), (5, 9, 3)])
def test_many_images_at_once_are_those_of_keras(
    odd: tuple[int, int, int] | None, root: Path, settings: Settings
) -> None:
    if odd is not None:
        # Of other colours, or of another size, among many that need no resizing.
        pixels = np.random.default_rng(5).integers(0, 256, odd, np.uint8)
        (root / "Train" / "b" / "020.png").write_bytes(png(pixels))
    data = keras.utils.image_dataset_from_directory(
        root / "Train", image_size=(8, 8), shuffle=False, verbose=False
    )
    expected = np.concatenate([images for images, _ in data])
    for pack in ("exact", "off"):
        found = read(root, settings, pack=pack, shuffle=False, validation_split=None)
        np.testing.assert_array_equal(found.train.pixels[np.arange(120)], expected)


def test_files_are_decoded_anew_and_must_not_change(root: Path, settings: Settings) -> None:
    sets = read(root, settings, pack="off", validation_split=None, shuffle=False)
    assert isinstance(sets.train.pixels, Files)
    assert sets.train.pixels.shape == (120, 8, 8, 3)
    order = np.random.default_rng(0).permutation(120)[:70]
    whole = read(root, settings, validation_split=None, shuffle=False).train.pixels
    np.testing.assert_array_equal(sets.train.pixels[order], whole[order])
    (root / "Train" / "b" / "007.png").write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(TrainingFailed, match=r"Train/b/007\.png has changed") as caught:
        sets.train.pixels[np.arange(120)]
    assert caught.value.code is FailureCode.DATA_INVALID


def test_off_names_bad_files_at_once_and_remembers_good_ones(
    root: Path, settings: Settings
) -> None:
    bad = root / "Train" / "b" / "bad.png"
    bad.write_bytes(png(np.zeros((8, 8, 3), np.uint8))[:60])
    with pytest.raises(TrainingFailed, match=r"Train/b/bad\.png: cannot be decoded"):
        read(root, settings, pack="off")
    bad.unlink()
    read(root, settings, pack="off")
    assert {pack.facts.kind for pack in Packs.of(settings).all()} == {"off"}


def test_a_stop_while_packing_leaves_nothing(root: Path, settings: Settings) -> None:
    def check() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        read_sets(from_document(document()), root, settings, check)
    assert {entry.name for entry in (settings.home / "packs").iterdir()} <= {"lock"}


def test_two_who_need_a_pack_at_once_make_it_once(root: Path, settings: Settings) -> None:
    file = root / "spec.json"
    file.write_text(json.dumps(from_document(document(data__test=None)).document()))
    command = [sys.executable, "-P", "-m", "fornada.worker.trainer", "pack", str(file)]
    environment = dict(os.environ, FORNADA_HOME=str(settings.home))
    both = [
        subprocess.Popen(
            [*command, "--data-root", str(root)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    last = [json.loads(stdout.splitlines()[-1]) for stdout, _ in ended]
    assert last[0] == last[1]
    assert last[0]["images"] == 120
    assert sum("packed 120 images" in stderr for _, stderr in ended) == 1


def test_off_trains_to_the_same_numbers(root: Path, tmp_path: Path) -> None:
    trained = []
    for pack in ("exact", "off"):
        spec = document(data__pack=pack, data__image_size=[9, 7], fit__epochs=2)
        with TrainerProcess(tmp_path / "home") as trainer:
            trainer.send(job(spec, root, tmp_path / pack / "attempt-1"))
            _, *epochs, finished = trainer.messages()
        assert isinstance(finished, Finished), finished
        assert finished.test is not None
        trained.append((
            [epoch.metrics for epoch in epochs if isinstance(epoch, EpochReport)],
            finished.test,
            keras.models.load_model(tmp_path / pack / "attempt-1" / "best.keras").get_weights(),
        ))  # fmt: skip
    (exact, exact_test, exact_weights), (off, off_test, off_weights) = trained
    assert len(exact) == 2
    assert exact == off
    assert exact_test == off_test
    for mine, theirs in zip(exact_weights, off_weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
