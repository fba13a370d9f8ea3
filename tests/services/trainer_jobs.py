"""What tests of the trainer share: folders of small images, a spec, and a trainer's process."""

import os
import signal
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fornada.worker.messages import (
    EpochReport,
    Failed,
    Finished,
    Started,
    Stopped,
    Train,
    decode_up,
    encode,
)
from tests import factory
from tests.until import until


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of 8 bits a channel; `pixels` of shape (height, width, channels)."""
    height, width, channels = pixels.shape
    kind = {1: 0, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write_images(
    folder: Path,
    counts: dict[str, int],
    *,
    size: tuple[int, int] = (8, 8),
    channels: int = 3,
    seed: int = 0,
    contrast: int = 120,
) -> None:
    """A folder of classes that can be learned: each class is bright in its own rows."""
    rng = np.random.default_rng(seed)
    for label, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 120, (*size, channels), np.uint8)
            pixels[2 * label : 2 * label + 2] += contrast
            (folder / name / f"{number:03}.png").write_bytes(png(pixels))


def document(**changes: Any) -> dict[str, Any]:
    """A small spec on `Train` and `Test`; changes are sections, or `section__field`."""
    spec: dict[str, Any] = {
        "name": "small",
        "data": {
            "train": "Train",
            "test": "Test",
            "validation_split": 0.25,
            "image_size": [8, 8],
            "batch_size": 8,
            "seed": 1,
        },
        "model": [
            {"Rescaling": {"scale": 1 / 255}},
            "Flatten",
            {"Dense": {"units": 16, "activation": "relu"}},
            {"Dense": {"units": "classes", "activation": "softmax"}},
        ],
        "compile": {
            "optimizer": {"Adam": {"learning_rate": 0.01}},
            "loss": "SparseCategoricalCrossentropy",
            "metrics": ["sparse_categorical_accuracy"],
        },
        "fit": {"epochs": 3},
        "callbacks": [],
    }
    for place, value in changes.items():
        section, _, field = place.partition("__")
        if field:
            spec[section][field] = value
        else:
            spec[section] = value
    return spec


# Changes that make the small spec one of two classes with one output.
BINARY: dict[str, Any] = {
    "data__label_mode": "binary",
    "model": ["Flatten", {"Dense": {"units": 1, "activation": "sigmoid"}}],
    "compile": {
        "optimizer": "Adam",
        "loss": "BinaryCrossentropy",
        "metrics": ["accuracy", "AUC"],
    },
}
# Changes that make it one with one-hot labels.
CATEGORICAL: dict[str, Any] = {
    "data__label_mode": "categorical",
    "compile": {
        "optimizer": "Adam",
        "loss": "CategoricalCrossentropy",
        "metrics": ["accuracy", "Precision"],
    },
}


class TrainerProcess:
    """A trainer that this session's factory has forked."""

    def __init__(self, home: Path, **settings: object) -> None:
        variables = {"FORNADA_HOME": str(home)}
        variables |= {f"FORNADA_{name.upper()}": str(value) for name, value in settings.items()}
        down, self._down = os.pipe()
        up, theirs = os.pipe()
        self.pid = factory.fork(variables, down, theirs)
        for each in (down, theirs):
            os.close(each)
        self._up = os.fdopen(up, "rb")
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout_s: float) -> int | None:
        """Wait until it has ended; its exit status."""
        until(lambda: self.poll() is not None, timeout_s)
        return self._code

    def kill(self) -> None:
        """End it as the kernel would; harmless when it has ended."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def signal(self, which: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, which)

    def send(self, message: Any) -> None:
        self.write(encode(message))

    def write(self, data: bytes) -> None:
        """Write to its down pipe, message or not."""
        while data:
            data = data[os.write(self._down, data) :]

    def messages(self) -> Iterator[Any]:
        """What it says, until it closes its end."""
        for line in self._up:
            yield decode_up(line)

    def next(self) -> Any:
        """The next thing it says; None when it has closed its end."""
        line = self._up.readline()
        return decode_up(line) if line.endswith(b"\n") else None

    def verdict(self) -> Finished | Stopped | Failed:
        """Its next, whatever it says before."""
        while isinstance(said := self.next(), Started | EpochReport):
            continue
        assert isinstance(said, Finished | Stopped | Failed), "it ended without a verdict"
        return said

    def hang_up(self) -> None:
        """Close its down pipe."""
        os.close(self._down)
        self._down = -1

    def __enter__(self) -> "TrainerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._up.close()
        if self._down >= 0:
            self.hang_up()


def job(
    spec: dict[str, Any],
    data_root: Path,
    folder: Path,
    *,
    attempt: int = 1,
    resume_from: Sequence[Path] = (),
) -> Train:
    """The message that starts a job; makes its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return Train(
        job_id=1,
        uid=folder.parent.name,
        attempt=attempt,
        spec=spec,
        data_root=data_root,
        folder=folder,
        resume_from=list(resume_from),
    )
