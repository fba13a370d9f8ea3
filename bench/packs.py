"""Packs: what it takes to decode 60,000 files once, and to look at them again.

    python -P -m bench.packs [--data DIR]

Keras's own reader reads the same folder once through, as it does in every epoch. `fornada data
pack` decodes it into a pack, in a new home, with the start of its process counted and without; the
second look is the same command again, which finds the pack and the files as they were.
"""

import json
import sys
from functools import partial
from pathlib import Path
from statistics import median

from bench import pictures, report, results, running
from bench.report import Report

# At least, times as fast as Keras's reader.
PROMISED = 2.0
SECOND_LOOK_S = 1.0
# The settings of a folder's pack, as the specs here have them.
LOOK = ("--set", "data.image_size=[28,28]")
_READ = """
import json, sys, time, keras
begin = time.perf_counter()
read = keras.utils.image_dataset_from_directory(
    sys.argv[1], image_size=(28, 28), batch_size=64, verbose=False)
count = sum(len(images) for images, labels in read)
print(json.dumps(count / (time.perf_counter() - begin)))
"""
# As the command does, once its process has loaded Keras.
_PACK = """
import gc, json, sys, time
from pathlib import Path
from fornada.worker.trainer.process.keras_import import import_keras
import_keras()
from fornada.data.folders import list_images
from fornada.settings import Settings
from fornada.worker.trainer.data.decode import Decoder, Observer, ReaderArguments
from fornada.worker.trainer.data.pack import Packing
gc.freeze()
folder = Path(sys.argv[1])
look = ReaderArguments((28, 28), "rgb", "bilinear", False)
settings = Settings()
settings.make_home()
begin = time.perf_counter()
files = list(list_images(folder, None).files)
decoder = Decoder(look, settings.max_image_pixels)
source = Packing(folder, files, decoder, settings, Observer()).source("exact")
print(json.dumps([len(source.files), time.perf_counter() - begin]))
"""


def main() -> int:
    """Measure, print, and write."""
    parser = report.parser(__doc__)
    pictures.add_options(parser)
    asked = parser.parse_args()
    data, about = pictures.folder(asked.data, asked.images)
    folder = data / "Train"
    images = pictures.count(folder)
    looks: list[float] = []
    commands: list[float] = []
    runs = {
        "Keras's reader": partial(_keras, folder),
        "Fornada, making the pack": partial(_pack, folder, looks, commands),
    }
    rates = report.interleaved(runs, asked.rounds)
    bound = PROMISED * median(rates["Keras's reader"])
    rows = report.compared(
        [
            report.row(
                "decoding",
                name,
                "images/s",
                values,
                more_is_better=True,
                bound=bound if name.startswith("Fornada") else None,
            )
            for name, values in rates.items()
        ]
    )
    again = f"a second look at {images:,} files"
    rows.append(report.row(again, "within a process", "s", looks, bound=SECOND_LOOK_S))
    rows.append(report.row(again, "fornada data pack, all of it", "s", commands))
    results.publish(
        Report(
            name="packs",
            title="Packs",
            about="Making a pack decodes, takes digests of, and writes every image, in a new home; "
            "Keras's reader decodes them into batches. Both once through, without the start of "
            "the process. A second look finds a pack by its files' sizes and times.",
            rows=rows,
            sizes={"images": images, "rounds": asked.rounds},
            notes=[about],
        ),
        asked.out,
    )
    return 0


def _keras(folder: Path) -> float:
    """Images a second of Keras's reader."""
    rate: float = json.loads(running.output([sys.executable, "-c", _READ, folder]))
    return rate


def _pack(folder: Path, looks: list[float], commands: list[float]) -> float:
    """Images a second of a pack's making; then the second looks."""
    with running.Home() as home:
        command: list[str | Path] = [sys.executable, "-P", "-c", _PACK, folder]
        count, taken = _last_json(running.output(command, **home.environment))
        looks.append(_last_json(running.output(command, **home.environment))[1])
        commands.append(running.timed(lambda: home("data", "pack", "--quiet", folder, *LOOK)))
        return count / taken


def _last_json(printed: str) -> list[float]:
    found: list[float] = json.loads(printed.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
