"""What Keras reads, Fornada reads, with the same pixels; of the rest it says why."""

from pathlib import Path

import keras
import numpy as np
import pytest

from fornada.db.states import FailureCode
from fornada.settings import Settings
from fornada.spec import Spec, from_document
from fornada.worker.trainer.data.decode import CHANNELS
from fornada.worker.trainer.data.headers import pixels
from fornada.worker.trainer.data.sets import read_sets
from fornada.worker.trainer.failures import TrainingFailed
from tests.services.trainer_jobs import document, png, write_images
from tests.services.zoo import chunk, decoded, names, zoo

ZOO = names(zoo())
LIMIT = 1_000_000
MODES = sorted(CHANNELS)


def readable(mode: str) -> dict[str, bytes]:
    """Those files that Keras's reader decodes."""
    return {
        name: content
        for name, content in ZOO.items()
        if decoded(content, CHANNELS[mode]) is not None
    }


def spec(mode: str) -> Spec:
    return from_document(
        document(
            data__color_mode=mode,
            data__image_size=[5, 3],
            data__shuffle=False,
            data__validation_split=None,
            data__test=None,
        )
    )


@pytest.mark.parametrize("mode", MODES)
def test_what_keras_reads_is_read_with_the_same_pixels(tmp_path: Path, mode: str) -> None:
    files = readable(mode)
    write_images(tmp_path / "Train", {"a": 0, "b": 1})
    for name, content in files.items():
        (tmp_path / "Train" / "a" / name).write_bytes(content)

    found = read_sets(spec(mode), tmp_path, Settings(max_image_pixels=LIMIT))

    data = keras.utils.image_dataset_from_directory(
        tmp_path / "Train", image_size=(5, 3), color_mode=mode, shuffle=False, verbose=False
    )
    expected = np.concatenate([images for images, _ in data])
    assert len(expected) == len(files) + 1
    np.testing.assert_array_equal(found.train.pixels, expected)


def test_the_zoo_has_readable_files_of_every_format() -> None:
    formats = {name.split()[0].removesuffix(".jpg") for name in readable("rgb")}
    assert formats == {"png", "jpeg", "gif", "bmp", "webp", "jxl"}
    assert len(readable("rgb")) > 40


NEEDS_RGB = "files are read as rgb only, not as {} (data.color_mode); convert it to PNG"
CUT = "cannot be decoded: the file is cut off: its end is missing"
STRANGE = "not a PNG, JPEG, GIF or BMP file"
DEPTH = "cannot be decoded: a BMP file with a depth of {}; 8, 24 and 32 bits are read; {}"
CONVERT = "convert it to PNG"
OWN = (
    "cannot be decoded: {} files are read with the colours they have only, and this one is not rgb "
    "(data.color_mode); convert it to PNG"
)
# Why each file that Keras does not read as rgb is refused.
REASONS = {
    "png cut": CUT,
    "png without its end": CUT,
    "png with a broken header": "cannot be decoded: the header of the PNG file is broken",
    "png with broken data": "cannot be decoded: the PNG file is broken",
    "png of an iPhone": "no header at the beginning of the PNG file "
    "(CgBI: written for iPhones only)",
    "jpeg without its end": CUT,
    "jpeg cut": CUT,
    "jpeg with an early end": "no frame in the JPEG file",
    "jpeg lossless": "cannot be decoded: a lossless or hierarchical JPEG file, which is not read; "
    "convert it to PNG",
    "jpeg 12 bits": "cannot be decoded: a JPEG file of 12 bits a colour; 8 are read; "
    "convert it to PNG",
    "gif cut": CUT,
    "gif without a frame": "no frame in the GIF file",
    "gif without colours": "cannot be decoded: the GIF file is broken: "
    "missing color map for frame 0",
    "bmp 1 bits": DEPTH.format(1, CONVERT),
    "bmp 4 bits": DEPTH.format(4, CONVERT),
    "bmp 16 bits": DEPTH.format(16, CONVERT),
    "bmp compressed": "cannot be decoded: a compressed BMP file, which is not read; "
    "convert it to PNG",
    "bmp cut": "cannot be decoded: the BMP file has 5 bytes too few for the size in its header",
    "bmp with more behind": "cannot be decoded: the BMP file has 2 bytes too many for the size in "
    "its header",
    "bmp short": "the file ends inside its header",
    "bmp of OS 2": "cannot be decoded: a BMP file of the old OS/2 kind, which is not read; "
    "convert it to PNG",
    "webp lossy with alpha": OWN.format("WebP"),
    "webp lossless with alpha": OWN.format("WebP"),
    "webp animated": OWN.format("WebP"),
    "webp cut": CUT,
    "webp cut in its header": "the file ends inside its header",
    "webp with another size": "cannot be decoded: the WebP file is broken",
    "jxl gray": OWN.format("JPEG XL"),
    "jxl with alpha": OWN.format("JPEG XL"),
    "jxl cut": "cannot be decoded: the JPEG XL file is broken or cut off",
    "empty": "the file is empty",
    "text": STRANGE,
    "html": STRANGE,
    "wave": STRANGE,
    "tiff": "TIFF files are not read; convert it to PNG or JPEG",
    "ico": "ICO files are not read; convert it to PNG or JPEG",
    "heic": "HEIC or video files are not read; convert it to PNG or JPEG",
    "avif": "AVIF files are not read; convert it to PNG or JPEG",
    "jpeg 2000": "JPEG 2000 files are not read; convert it to PNG or JPEG",
}


@pytest.mark.parametrize("mode", MODES)
def test_what_keras_does_not_read_is_refused_with_the_reason(tmp_path: Path, mode: str) -> None:
    unreadable = ZOO.keys() - readable(mode).keys()
    write_images(tmp_path / "Train", {"a": 1, "b": 1})
    for name in unreadable:
        (tmp_path / "Train" / "a" / name).write_bytes(ZOO[name])

    with pytest.raises(TrainingFailed) as caught:
        read_sets(spec(mode), tmp_path, Settings(max_image_pixels=LIMIT))

    assert caught.value.code is FailureCode.DATA_INVALID
    lines = str(caught.value).splitlines()[1:]
    found = dict(line.removeprefix("Train/a/").split(": ", 1) for line in lines)
    assert found.keys() == unreadable
    if mode == "rgb":
        assert {name.removesuffix(".jpg"): why for name, why in found.items()} == REASONS
    # TensorFlow's own words for where in its graph something happened help nobody.
    assert not [why for why in found.values() if "execution" in why or "node" in why]


@pytest.mark.parametrize("mode", MODES)
def test_no_header_tells_less_than_the_decoder_makes_of_it(mode: str) -> None:
    for name, content in readable(mode).items():
        made = decoded(content, CHANNELS[mode])
        assert made is not None
        assert made.shape[0] * made.shape[1] <= pixels(content) < LIMIT, name


def test_no_header_hides_behind_an_unknown_chunk() -> None:
    whole = png(np.zeros((4, 4, 3), np.uint8))
    large = whole[:8] + chunk(b"abCd", bytes(13)) + whole[8:16] + b"\0\0\x75\x30" * 2 + whole[24:]
    assert pixels(large) == 30_000**2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\2\0\0\0" + b"\xff\xff\x00" * 2, 65_536**2),
        (b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\xff\xff\xff\x0f", 16_384**2),
        (b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f", 16_383**2),
        # Pixels without a chunk around them.
        (b"RIFF\0\0\0\0WEBP\x2f\xff\xff\xff\x0f", 16_384**2),
        # Height of 30 bits, and as wide as it is high.
        (b"\xff\x0a" + (0b001_111111111111111111111111111111_11_0).to_bytes(9, "little"), 2**60),
    ],
)
def test_a_small_file_that_claims_a_large_image_is_told_by_its_header(
    content: bytes, expected: int
) -> None:
    assert pixels(content) == expected
