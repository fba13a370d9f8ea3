"""Damaged images of every format: refused or read, never more; and of a folder, all at once."""

import random
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fornada.db.states import FailureCode
from fornada.settings import Settings
from fornada.spec import from_document
from fornada.worker.trainer.data.headers import NoImage, pixels
from fornada.worker.trainer.data.sets import read_sets
from fornada.worker.trainer.failures import TrainingFailed
from tests.budget import examples
from tests.services.test_data_bad import gif
from tests.services.trainer_jobs import document, png, write_images
from tests.services.zoo import decoded, zoo

# Tracing doubles the time of thousands of cases.
pytestmark = pytest.mark.no_cover

PIXELS = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
# Bytes of a BMP's headers, and of one row of eight pixels.
_BMP = 54
LIMIT = 1_000_000
# Endings that Keras lists; any content may lie under any.
SUFFIXES = ["bmp", "gif", "jpg", "png"]
# Damaged files in one folder.
FILES = 240
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def bmp() -> bytes:
    """Eight by eight pixels of 24 bits, uncompressed."""
    size = _BMP + 8 * 24
    header = b"BM" + size.to_bytes(4, "little") + bytes(4) + _BMP.to_bytes(4, "little")
    info = (40).to_bytes(4, "little") + (8).to_bytes(4, "little") * 2 + b"\1\0\x18\0" + bytes(24)
    return header + info + PIXELS.tobytes()


def small_gif() -> bytes:
    """Two frames of one pixel."""
    return gif(frames=2, sizes=[(1, 1)])


WHOLE = {
    "png": png(PIXELS),
    "jpg": tf.io.encode_jpeg(PIXELS).numpy(),
    "gif": small_gif(),
    "bmp": bmp(),
    "webp": zoo()["webp lossy"],
    "webp extended": zoo()["webp with Exif"],
    "jxl": zoo()["jxl"],
}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An image, cut, flipped, stretched or with another's head."""
    content: bytes = draw(st.sampled_from(sorted(WHOLE.values())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        how = draw(st.sampled_from(["cut", "flip", "put", "lose", "head"]))
        if how == "cut":
            content = content[:at]
        elif how == "flip" and at < len(content):
            flipped = bytes([content[at] ^ draw(st.integers(1, 255))])
            content = content[:at] + flipped + content[at + 1 :]
        elif how == "put":
            content = content[:at] + draw(st.binary(min_size=1, max_size=9)) + content[at:]
        elif how == "lose":
            content = content[:at] + content[at + draw(st.integers(1, 40)) :]
        else:
            content = draw(st.sampled_from(sorted(WHOLE.values())))[:at] + content
    return content


@given(damaged() | st.binary(max_size=80))
@example(b"\xff\xd8\xff" + b"\xff" * 10_000)
@example(b"\xff\xd8\xff\xe0\0\0" * 2_000)
@example(b"GIF89a" + bytes(7) + b"\x21\xf9\0" * 3_000)
@example(b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x08free" * 3_000)
@settings(max_examples=examples(350), deadline=None, suppress_health_check=_SLOW)
def test_a_header_tells_a_size_or_why_it_is_none(content: bytes) -> None:
    try:
        count = pixels(content)
    except NoImage:
        return
    assert 0 <= count < 2**64


@given(damaged())
@settings(max_examples=examples(150), deadline=None, suppress_health_check=_SLOW)
def test_a_header_neither_tells_too_little_nor_refuses_what_is_read(content: bytes) -> None:
    try:
        claimed = pixels(content)
    except NoImage:
        assert decoded(content, 3) is None
        return
    if claimed > LIMIT:
        return
    made = decoded(content, 3)
    assert made is None or made.shape[0] * made.shape[1] <= claimed


def test_of_a_folder_of_damaged_images_exactly_those_that_cannot_be_read_are_named(
    tmp_path: Path,
) -> None:
    write_images(tmp_path / "Train", {"a": 4, "b": 4})
    write_images(tmp_path / "Test", {"a": 2, "b": 2})
    # The same damage each time.
    chance = random.Random(22)
    expected = set()
    for number in range(FILES):
        suffix = chance.choice(SUFFIXES)
        content = _damage(WHOLE[chance.choice(sorted(WHOLE))], chance)
        name = f"Train/a/d{number:03}.{suffix}"
        (tmp_path / name).write_bytes(content)
        if not _readable(content):
            expected.add(name)
    assert 20 < len(expected) < FILES

    with pytest.raises(TrainingFailed) as caught:
        read_sets(from_document(document()), tmp_path, Settings(max_image_pixels=LIMIT))

    assert caught.value.code is FailureCode.DATA_INVALID
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(f"{len(expected)} files")
    # A failure names a hundred; the log names all.
    named = {line.split(": ")[0] for line in lines if line.startswith("Train/")}
    assert named == set(sorted(expected)[:100])
    assert all(line.isprintable() for line in lines)


def _damage(content: bytes, chance: random.Random) -> bytes:
    how = chance.randrange(5)
    at = chance.randrange(len(content))
    if how == 0:
        return b""
    if how == 1:
        return content[:at]
    if how == 2:
        return content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
    if how == 3:
        return content[:at] + content[at + 1 + chance.randrange(30) :]
    return content


def _readable(content: bytes) -> bool:
    try:
        if pixels(content) > LIMIT:
            return False
        image = tf.image.decode_image(tf.constant(content), channels=3, expand_animations=False)
        tf.image.resize(image, (8, 8))
    except (NoImage, tf.errors.OpError, ValueError):
        return False
    return True
