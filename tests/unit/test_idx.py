"""IDX files become folders of PNG files."""

import gzip
import struct
from pathlib import Path

import pytest

from fornada.data.idx import IdxError, Sample, TargetExists, encode_png, import_idx

EVERYTHING = {"Train": Sample(None, 1), "Test": Sample(None, 1)}
# A 2 x 3 image of gray, written by an independent encoder: filter byte 0 before each row.
PIXELS = bytes([0, 50, 100, 150, 200, 255])


def idx(rank_sizes: tuple[int, ...], body: bytes) -> bytes:
    return (
        bytes([0, 0, 8, len(rank_sizes)]) + struct.pack(f">{len(rank_sizes)}I", *rank_sizes) + body
    )


def write_set(folder: Path, train: list[int], test: list[int], suffix: str = "") -> None:
    folder.mkdir()
    for prefix, labels in (("train", train), ("t10k", test)):
        images = b"".join(bytes([index] * 6) for index in range(len(labels)))
        for name, content in (
            (f"{prefix}-images-idx3-ubyte", idx((len(labels), 2, 3), images)),
            (f"{prefix}-labels-idx1-ubyte", idx((len(labels),), bytes(labels))),
        ):
            (folder / (name + suffix)).write_bytes(gzip.compress(content) if suffix else content)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_every_image_lands_under_its_label(tmp_path: Path, suffix: str) -> None:
    write_set(tmp_path / "idx", [7, 3, 7], [1], suffix)
    seen: list[tuple[int, int]] = []
    written = import_idx(
        tmp_path / "idx", tmp_path / "out", EVERYTHING, lambda *at: seen.append(at)
    )
    assert written == {"Train": 3, "Test": 1}
    assert seen[-1] == (4, 4)
    assert files(tmp_path / "out") == [
        "Test/1/00000.png",
        "Train/3/00001.png",
        "Train/7/00000.png",
        "Train/7/00002.png",
    ]
    image = (tmp_path / "out/Train/7/00002.png").read_bytes()
    assert image == encode_png(bytes([2] * 6), 2, 3)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_a_choice_is_stable_and_of_each_class(tmp_path: Path) -> None:
    indices = list(range(100))
    chosen = Sample(10, seed=1).of(indices)
    assert chosen == sorted(chosen)
    assert len(set(chosen)) == 10
    assert chosen == Sample(10, seed=1).of(list(reversed(indices)))
    assert chosen != Sample(10, seed=2).of(indices)
    assert Sample(None, seed=1).of(indices) == indices


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("train-images-idx3-ubyte", b"not IDX at all, really", "not an IDX file"),
        (
            "train-images-idx3-ubyte",
            idx((3, 2, 3), b"short"),
            "holds 5 bytes after its header, not 18",
        ),
        ("train-images-idx3-ubyte", idx((0, 2, 3), b""), "an IDX file without content"),
        ("train-labels-idx1-ubyte", idx((2,), b"ab"), "3 images and 2 labels"),
        ("t10k-labels-idx1-ubyte", None, "is missing"),
    ],
)
def test_what_is_damaged_is_named_and_nothing_written(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    write_set(tmp_path / "idx", [7, 3, 7], [1])
    if content is None:
        (tmp_path / "idx" / name).unlink()
    else:
        (tmp_path / "idx" / name).write_bytes(content)
    with pytest.raises(IdxError, match=says):
        import_idx(tmp_path / "idx", tmp_path / "out", EVERYTHING)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_set(tmp_path / "idx", [7], [1])
    (tmp_path / "out/Test").mkdir(parents=True)
    with pytest.raises(TargetExists, match="already exists"):
        import_idx(tmp_path / "idx", tmp_path / "out", EVERYTHING)
    assert files(tmp_path / "out") == []
