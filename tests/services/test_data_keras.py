"""Folders, pixels and labels against `keras.utils.image_dataset_from_directory` itself."""

import struct
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from fornada.settings import Settings
from fornada.spec import from_document, load
from fornada.spec.sections import NEVER_CROPPED
from fornada.worker.trainer.data.sets import Sets, list_sets, read_sets
from tests.services.trainer_jobs import BINARY, CATEGORICAL, document, png, write_images

REPOSITORY = Path(__file__).parents[2]
SIZES = [(8, 8), (5, 11), (12, 6)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with PNG files of three kinds and JPEG files, of several sizes."""
    root = tmp_path_factory.mktemp("data")
    write_images(root / "Train", {"b": 9, "a": 7, "c": 8})
    write_images(root / "Test", {"a": 5, "b": 6, "c": 4, "d": 2}, seed=1)
    write_images(root / "Two", {"no": 5, "yes": 6}, seed=2)
    rng = np.random.default_rng(3)
    for number, (height, width) in enumerate([(8, 8), (13, 7), (9, 16), (1, 1), (31, 30)]):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        folder = root / "Mixed" / "ab"[number % 2] / "sub"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(tf.io.encode_jpeg(pixels, quality=80).numpy())
        (folder / f"{number}.png").write_bytes(png(pixels[:, :, :1]))
        (root / "Transparent" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        rgba = png(np.dstack([pixels, pixels[:, :, :1]]))
        (root / "Transparent" / "ab"[number % 2] / f"{number}.PNG").write_bytes(rgba)
    (root / "Other" / "a").mkdir(parents=True)
    (root / "Other" / "a" / "1.bmp").write_bytes(bmp(rng.integers(0, 256, (5, 3, 3), np.uint8)))
    (root / "Other" / "a" / "2.gif").write_bytes(GIF)
    (root / "Other" / "b").mkdir()
    (root / "Other" / "b" / "3.bmp").write_bytes(bmp(rng.integers(0, 256, (4, 5, 3), np.uint8)))
    return root


# One white pixel.
GIF = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
)


def bmp(pixels: NDArray[np.uint8]) -> bytes:
    """A BMP file of 24 bits a pixel: rows from the bottom, padded to four bytes."""
    height, width, _ = pixels.shape
    padding = bytes(-3 * width % 4)
    rows = b"".join(row[:, ::-1].tobytes() + padding for row in pixels[::-1])
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + header + rows


def read(root: Path, **data: Any) -> Sets:
    spec = from_document(document(**{f"data__{name}": value for name, value in data.items()}))
    return read_sets(spec, root, Settings())


def from_keras(root: Path, folder: str, **arguments: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """All of Keras's batches, put together, and its files' order through a second reader."""
    data = keras.utils.image_dataset_from_directory(
        root / folder, batch_size=4, verbose=False, **arguments
    )
    images, labels = zip(*data, strict=True)
    return np.concatenate(images), np.concatenate(labels)


INTERPOLATIONS = [
    "bilinear",
    "nearest",
    "bicubic",
    "area",
    "lanczos3",
    "lanczos5",
    "gaussian",
    "mitchellcubic",
]


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize(
    ("color_mode", "interpolation"),
    [("grayscale", "bilinear"), ("rgba", "bilinear"), *[("rgb", name) for name in INTERPOLATIONS]],
)
def test_pixels_are_those_of_keras(
    root: Path, color_mode: str, interpolation: str, crop: bool
) -> None:
    if crop and interpolation in NEVER_CROPPED:
        with pytest.raises(ValueError, match="Invalid value for argument `interpolation`"):
            from_keras(root, "Mixed", interpolation=interpolation, crop_to_aspect_ratio=True)
        return
    # TensorFlow decodes no JPEG file to four channels.
    folder = "Transparent" if color_mode == "rgba" else "Mixed"
    for size in SIZES:
        look = {
            "image_size": size,
            "color_mode": color_mode,
            "interpolation": interpolation,
            "crop_to_aspect_ratio": crop,
        }
        found = read(root, train=folder, test=None, shuffle=False, validation_split=None, **look)
        expected, labels = from_keras(root, folder, shuffle=False, **look)
        np.testing.assert_array_equal(found.train.pixels, expected)
        np.testing.assert_array_equal(found.train.labels, labels)


def test_bitmaps_and_gifs_are_those_of_keras(root: Path) -> None:
    found = read(root, train="Other", test=None, shuffle=False, validation_split=None)
    expected, _ = from_keras(root, "Other", image_size=(8, 8), shuffle=False)
    np.testing.assert_array_equal(found.train.pixels, expected)


def test_unresized_images_stay_bytes(root: Path) -> None:
    assert read(root).train.pixels.dtype == np.uint8
    assert read(root, image_size=[9, 9]).train.pixels.dtype == np.float32


@pytest.mark.parametrize("seed", [0, 1234])
@pytest.mark.parametrize("split", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("shuffle", [True, False])
def test_split_is_that_of_keras(root: Path, seed: int, split: float, shuffle: bool) -> None:
    arguments: dict[str, Any] = {"seed": seed, "validation_split": split, "shuffle": shuffle}
    found = read(root, **arguments)
    # Keras shuffles batches of training anew each epoch, so there only the set is the same; the
    # validation subset is compared in order.
    both = keras.utils.image_dataset_from_directory(
        root / "Train", image_size=(8, 8), subset="both", verbose=False, **arguments
    )
    train, validation = both
    images, labels = zip(*validation, strict=True)
    assert found.validation is not None
    np.testing.assert_array_equal(found.validation.pixels, np.concatenate(images))
    np.testing.assert_array_equal(found.validation.labels, np.concatenate(labels))
    expected = [tf.io.decode_png(tf.io.read_file(file)).numpy() for file in train.file_paths]
    np.testing.assert_array_equal(found.train.pixels, np.stack(expected))


def test_validation_subset_of_another_folder(root: Path) -> None:
    found = read(root, validation={"folder": "Test", "split": 0.4}, validation_split=None)
    expected, labels = from_keras(
        root,
        "Test",
        image_size=(8, 8),
        validation_split=0.4,
        subset="validation",
        seed=1,
        class_names=["a", "b", "c"],
        shuffle=True,
    )
    assert found.validation is not None
    # Keras shuffles this subset's files again before it batches them.
    ours = sorted((label, image.tobytes()) for image, label in _pairs(found.validation))
    theirs = zip(expected.astype(np.uint8), labels, strict=True)
    assert ours == sorted((label, image.tobytes()) for image, label in theirs)


@pytest.mark.parametrize("seed", [1, 7])
@pytest.mark.parametrize("shuffle", ["true", "false"])
def test_files_of_the_owners_sets_are_those_of_keras(shuffle: str, seed: int) -> None:
    changes = [f"data.shuffle={shuffle}", f"data.seed={seed}"]
    owner = REPOSITORY / "specs" / "owner.yaml"
    spec = load(owner, overrides=changes, data_root=REPOSITORY, base=REPOSITORY)
    found = list_sets(spec, REPOSITORY)
    assert {role: len(listing.files) for role, listing in found.items()} == {
        "train": 1800,
        "validation": 50,
        "test": 500,
    }
    for role, folder, subset in (
        ("train", "Data/Train", "training"),
        ("validation", "Data/Test", "validation"),
    ):
        expected = keras.utils.image_dataset_from_directory(
            REPOSITORY / folder,
            validation_split=0.1,
            subset=subset,
            seed=seed,
            shuffle=shuffle == "true",
            verbose=False,
        )
        listing = found[role]  # type: ignore[index]
        assert [str(listing.folder / file) for file in listing.files] == expected.file_paths


@pytest.mark.parametrize("subset", ["training", "validation"])
@pytest.mark.parametrize("role", ["train", "validation", "test"])
def test_a_subset_of_any_folder_is_that_of_keras(root: Path, role: str, subset: str) -> None:
    folder = "Train" if role == "train" else "Test"
    part = {"folder": folder, "validation_split": 0.3, "subset": subset}
    names = ["a", "b", "c"]
    found = read(root, **{"validation_split": None, role: part}, class_names=names, seed=3)
    expected = keras.utils.image_dataset_from_directory(
        root / folder,
        image_size=(8, 8),
        class_names=names,
        validation_split=0.3,
        subset=subset,
        seed=3,
        verbose=False,
    )
    pixels = [tf.io.decode_png(tf.io.read_file(file)).numpy() for file in expected.file_paths]
    np.testing.assert_array_equal(getattr(found, role).pixels, np.stack(pixels))


def _pairs(images: Any) -> Any:
    return zip(images.pixels, images.labels, strict=True)


@pytest.mark.parametrize("changes", [{}, BINARY, CATEGORICAL])
def test_labels_are_those_of_keras(root: Path, changes: dict[str, Any]) -> None:
    folder = {"data__train": "Two", "data__test": None, "data__validation_split": None}
    spec = from_document(document(**folder, data__shuffle=False, **changes))
    found = read_sets(spec, root, Settings()).train.targets
    label_mode = spec.data.label_mode
    _, expected = from_keras(root, "Two", image_size=(8, 8), shuffle=False, label_mode=label_mode)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


def test_classes_of_train_are_forced(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = read(root, class_names=["c", "a", "b"])
    expected, labels = from_keras(
        root, "Test", image_size=(8, 8), shuffle=False, class_names=["c", "a", "b"]
    )
    assert found.test is not None
    np.testing.assert_array_equal(found.test.labels, labels)
    np.testing.assert_array_equal(found.test.pixels, expected)
    assert found.classes == ("c", "a", "b")
    said = capsys.readouterr().out
    assert "warning: data.test: " in said
    assert "Test: extra: d (2 images)" in said


def test_fingerprint_is_of_content(root: Path, tmp_path: Path) -> None:
    first = read(root)
    copy = tmp_path / "copy"
    for name in ("Train", "Test"):
        for file in (root / name).rglob("*.png"):
            target = copy / name / file.relative_to(root / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    assert read(copy).fingerprint == first.fingerprint
    assert read(copy, seed=7, shuffle=False).fingerprint == first.fingerprint
    one = copy / "Train" / "a" / "000.png"
    one.write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
    assert read(copy).fingerprint != first.fingerprint
