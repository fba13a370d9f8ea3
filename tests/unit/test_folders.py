"""Folders of images: Keras's listing, shuffle and split, and what Keras does not say."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fornada.data.folders import Listing, list_images, outside, shuffled, subset

SEEDS = st.integers(0, 2**32 - 1)


def listing(count: int) -> Listing:
    files = tuple(f"{i % 3}/{i}.png" for i in range(count))
    return Listing(Path("Train"), ("0", "1", "2"), files, tuple(i % 3 for i in range(count)))


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@given(st.integers(0, 300), SEEDS)
def test_shuffles_as_numpy_does(count: int, seed: int) -> None:
    expected = [f"{i % 3}/{i}.png" for i in range(count)]
    np.random.RandomState(seed).shuffle(expected)
    found = shuffled(listing(count), seed)
    assert list(found.files) == expected
    assert [f"{label}" for label in found.labels] == [file.split("/")[0] for file in expected]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_refuses_a_seed_that_numpy_refuses(seed: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 4294967295"):
        shuffled(listing(2), seed)


@given(st.integers(10, 200), st.floats(0.1, 0.9), SEEDS, st.booleans())
def test_splits_without_overlap(count: int, split: float, seed: int, shuffle: bool) -> None:
    train = subset(listing(count), split, "training", seed, shuffle)
    validation = subset(listing(count), split, "validation", seed, shuffle)
    assert len(validation.files) == int(split * count)
    assert sorted(train.files + validation.files) == sorted(listing(count).files)


def test_names_what_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.PNG", "b/sub/1.jpeg", "b/notes.txt", "a/.hidden/3.gif", "a/z.webp")
    touch(tmp_path, ".git/4.png", "README.md")
    (tmp_path / "c").mkdir()
    (tmp_path / "b" / "link").symlink_to(tmp_path / "a")
    found = list_images(tmp_path)
    assert found.class_names == ("a", "b", "c")
    assert found.files == ("a/.hidden/3.gif", "b/2.PNG", "b/sub/1.jpeg")
    assert found.labels == (0, 1, 1)
    assert found.counts == {"a": 1, "b": 2, "c": 0}
    assert set(found.ignored) == {".git/", "README.md", "b/notes.txt", "b/link/", "a/z.webp"}
    assert found.empty == ("c",)


def test_forces_class_names(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png", "dog/1.png", "dog/2.png", "cow/1.png")
    found = list_images(tmp_path, ["dog", "ant", "cat"])
    assert found.class_names == ("dog", "ant", "cat")
    assert found.labels == (0, 0, 2)
    assert found.missing == ("ant",)
    assert found.extra == ("cow",)


def test_finds_links_that_lead_out_of_the_root(tmp_path: Path) -> None:
    touch(tmp_path, "root/Train/a/1.png", "root/Train/a/2.png", "away/3.png", "root/other.png")
    train = tmp_path / "root" / "Train"
    (train / "a" / "in.png").symlink_to(tmp_path / "root" / "other.png")
    (train / "a" / "out.png").symlink_to(tmp_path / "away" / "3.png")
    (train / "b").symlink_to(tmp_path / "away")
    found = list_images(train)
    assert len(found.files) == 5
    assert outside(found, tmp_path / "root") == ("a/out.png", "b/3.png")


def test_names_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"a/\xff.png")
    touch(tmp_path, name)
    assert list_images(tmp_path).files == (name,)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list_images(tmp_path / "none")
