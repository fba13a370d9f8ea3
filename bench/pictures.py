"""Folders of images at the size of the complete MNIST.

With `--data DIR` the benchmarks take DIR/Train/<class>/ and DIR/Test/<class>/. The complete MNIST
in this form is what `fornada data import IDX_DIR DIR` makes of its IDX files; `Data/choose.sh` says
where those are. Without it, files of the same number and size are drawn from `Data/` here: each a
digit of it, shifted by up to two pixels and with a little noise, the same ones every time.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.report import say

DATA = Path(__file__).parents[1] / "Data"
MADE = Path("build/bench/images")
COUNTS = {"Train": 60_000, "Test": 10_000}
# Pixels, either way.
SHIFT = 2
# Standard deviation, of 255.
NOISE = 8.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--data`, and `--images` for smaller runs."""
    parser.add_argument("--data", type=Path, help="folder with Train/ and Test/; see docs")
    parser.add_argument(
        "--images", type=int, default=COUNTS["Train"], help="files of Train that are made, if any"
    )


def folder(data: Path | None, images: int) -> tuple[Path, str]:
    """Where the images lie, and a sentence about them."""
    if data is not None:
        return data.absolute(), f"images of {data.name}"
    made = MADE.absolute() / str(images)
    if not (made / "done").exists():
        for name, count in COUNTS.items():
            _make(DATA / name, made / name, count * images // COUNTS["Train"])
        (made / "done").touch()
    return made, f"{images:,} images drawn from Data/ with shifts and noise, not MNIST's own"


def _make(source: Path, target: Path, count: int) -> None:
    # Its decoder and encoder; loaded here, because who brings images needs none.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    say(f"drawing {count:,} images into {target}")
    rng = np.random.default_rng(1)
    files = sorted(source.glob("*/*.png"))
    originals = [tf.io.decode_png(file.read_bytes(), channels=1).numpy() for file in files]
    for number in range(count):
        chosen = number % len(files)
        file = target / files[chosen].parent.name / f"{number:06}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(tf.io.encode_png(_drawn(originals[chosen], rng)).numpy())


def _drawn(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    down, right = rng.integers(-SHIFT, SHIFT + 1, 2)
    moved = np.roll(image, (down, right), (0, 1)).astype(np.float32)
    noisy = moved + rng.normal(0.0, NOISE, image.shape) * (moved > 0)
    drawn: NDArray[np.uint8] = np.clip(noisy, 0, 255).astype(np.uint8)
    return drawn


def count(folder: Path) -> int:
    """Images of a folder of classes."""
    return sum(1 for _ in folder.glob("*/*.*"))
