"""Previews a spec without training it: builds its model, decodes or packs its images.

Each function prints JSON objects on stdout, one a line, which `fornada.preview` reads:

    text                                    a description of the model or of the images
    done, total                             images of a folder that are decoded, of so many
    folder, images, pack, bytes, unpacked   a folder is packed, or `unpacked` says why it is not
    code, message                           why a job would fail; the last line

They return the exit status of the process: 3 when a job would fail, else 0.
"""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TextIO

from fornada.data.folders import Listing, outside
from fornada.data.inspection import Inspection, inspect
from fornada.settings import Settings
from fornada.spec import PathRefused, Role, Spec, SpecProblems, from_document
from fornada.worker.trainer.data.decode import CHANNELS, Observer
from fornada.worker.trainer.data.sets import list_sets, read_sets, read_sources
from fornada.worker.trainer.failures import TrainingFailed, failure
from fornada.worker.trainer.model.build import build as build_model
from fornada.worker.trainer.model.build import check_shapes, compute_size
from fornada.worker.trainer.model.trial import blank_batch

EXIT_DONE = 0
EXIT_INVALID = 3


def build(file: Path, data_root: Path) -> int:
    """Print the model's summary and its memory. The class folders are read, but no image.

    Args:
        file: the spec's effective document as JSON.
        data_root: folder that the spec's paths are relative to.
    """
    return _answer_text(lambda: _build(_read(file), data_root))


def data(file: Path, data_root: Path) -> int:
    """Decode all images of a spec; print how many each set has, or every bad file.

    When a folder or a class is wrong, the bad files of the other folders are still found.

    Args:
        file: the spec's effective document as JSON.
        data_root: folder that the spec's paths are relative to.
    """
    return _answer_text(lambda: _decode(_read(file), data_root))


def pack(file: Path, data_root: Path) -> int:
    """Pack all images of a spec; print the progress, and the result for each folder.

    Args:
        file: the spec's effective document as JSON.
        data_root: folder that the spec's paths are relative to.
    """
    stdout = sys.stdout

    def tell(**message: object) -> None:
        _answer(stdout, **message)

    # Anything else that is printed is meant for a job's log, so it goes to stderr.
    with redirect_stdout(sys.stderr):
        return _answer_failure(lambda: _pack(_read(file), data_root, tell), stdout)


def _build(spec: Spec, data_root: Path) -> None:
    settings = Settings()
    # The command says itself what it has found in the folders.
    with redirect_stdout(sys.stderr):
        names = list_sets(spec, data_root)["train"].class_names
    spec = spec.with_classes(len(names))
    shape = (*spec.data.image_size, CHANNELS[spec.data.color_mode])
    size = compute_size(spec, shape, settings)
    model = build_model(spec, shape, len(names), settings)
    model.summary(line_length=100)
    check_shapes(spec, model, blank_batch(spec, shape, len(names)))
    print(f"parameters: {size.parameters:,}")
    print(
        f"memory while training: {size.training_bytes:,} bytes of parameters, gradients, "
        f"optimizer state and what is saved of them"
    )
    print(
        f"largest output of a layer: {size.largest_output_bytes:,} bytes a batch of "
        f"{spec.data.batch_size}"
    )


def _decode(spec: Spec, data_root: Path) -> None:
    found = inspect(spec, data_root)
    if found.problems:
        # `fornada.preview` shows these problems with file and line. The images are still checked.
        with redirect_stdout(sys.stderr):
            read_sources(spec, _readable(found, data_root), Settings(), Observer())
        return
    sets = read_sets(spec, data_root, Settings())
    summary = sets.summary()
    print(f"train {summary.train}, validation {summary.validation}, test {summary.test} images")
    print(f"fingerprint {summary.fingerprint}")


def _readable(found: Inspection, data_root: Path) -> dict[Role, Listing]:
    """The images that may be read although something is wrong: those inside the data root."""
    readable: dict[Role, Listing] = {}
    for role, listing in found.listings.items():
        forbidden = set(outside(listing, data_root))
        files = tuple(file for file in listing.files if file not in forbidden)
        if files:
            readable[role] = replace(listing, files=files, labels=())
    return readable


def _pack(spec: Spec, data_root: Path, tell: Callable[..., None]) -> None:
    found = inspect(spec, data_root)
    if found.problems:
        read_sources(spec, _readable(found, data_root), Settings(), Observer())
        return
    listings = list_sets(spec, data_root)
    observer = Observer(tell=lambda done, total: tell(done=done, total=total))
    sources = read_sources(spec, listings, Settings(), observer)
    for folder, source in sources.items():
        tell(
            folder=str(folder),
            images=len(source.files),
            pack=source.pack and source.pack.name,
            bytes=source.pack and source.pack.size_bytes,
            unpacked=source.unpacked or None,
        )


def _read(file: Path) -> Spec:
    return from_document(json.loads(file.read_text()))


def _answer_text(preview: Callable[[], None]) -> int:
    """Run a preview and answer with all that it printed, or only with the reason of a failure."""
    stdout = sys.stdout
    with redirect_stdout(StringIO()) as printed:
        status = _answer_failure(preview, stdout)
    if status == EXIT_DONE:
        _answer(stdout, text=printed.getvalue())
    return status


def _answer_failure(preview: Callable[[], None], stdout: TextIO) -> int:
    """Run a preview, and answer with the reason if a job would fail. Returns the exit status."""
    try:
        preview()
    except (TrainingFailed, SpecProblems, PathRefused) as error:
        failed = failure(error)
        _answer(stdout, code=failed.code, message=str(failed))
        return EXIT_INVALID
    return EXIT_DONE


def _answer(stdout: TextIO, **message: object) -> None:
    print(json.dumps(message), file=stdout, flush=True)
