"""Looks at what a spec names, before it is submitted: its folders, its images, its model.

What needs Keras or a decoder is asked of a trainer process; this package loads neither.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fornada.errors import NoKeras
from fornada.folders import Listing, list_images
from fornada.settings import Settings
from fornada.spec import PathRefused, Spec
from fornada.spec.paths import resolve

# What is most often wrong with a path.
TAKEN_FROM = "A path in a spec is taken from the folder in which the command runs."
# Keras cuts its summary at the width of the terminal, and a pipe passes for one of 80 columns.
COLUMNS = "120"
# What a trainer process ends with when the spec's model or data are wrong, and it says why.
INVALID = 3
# What it says when it came to the images, and found some that are none.
BAD_FILES = "cannot be decoded as images"
# How it begins to say why a job would fail.
_CODE = re.compile(r"^[A-Z_]+: ", re.MULTILINE)


@dataclass(frozen=True)
class Folder:
    """One of a spec's folders as it lies here.

    Args:
        role: `train`, `validation` or `test`.
        path: where it is on this host.
        listing: what is in it; None when it cannot be read.
        problems: why a job would fail on it, a sentence each.
    """

    role: str
    path: str
    listing: Listing | None
    problems: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        found = self.listing
        return {
            "role": self.role,
            "folder": self.path,
            "images": len(found.files) if found else 0,
            "counts": dict(found.counts) if found else {},
            "ignored": list(found.ignored) if found else [],
        }


@dataclass(frozen=True)
class Examination:
    """What a trainer process found.

    Args:
        text: what it says on stdout.
        failure: why a job would fail; empty when it would not.
    """

    text: str
    failure: str


def folders(spec: Spec, data_root: Path) -> list[Folder]:
    """List the spec's folders; class names are fixed by the training folder.

    Args:
        spec: checked.
        data_root: that its paths stand under.
    """
    train = _folder("train", spec.data.train, data_root, spec.data.class_names)
    classes = train.listing.class_names if train.listing else spec.data.class_names
    others = {
        "validation": spec.data.validation.folder if spec.data.validation else None,
        "test": spec.data.test,
    }
    return [
        train,
        *(_folder(role, path, data_root, classes) for role, path in others.items() if path),
    ]


def absent(spec: Spec, data_root: Path) -> list[str]:
    """The spec's folders that are not there, a sentence each; looks into none."""
    validation = spec.data.validation
    places = {
        "train": spec.data.train,
        "validation": validation.folder if validation else None,
        "test": spec.data.test,
    }
    return [
        f"data.{role}: {data_root / stored} is no folder here. {TAKEN_FROM}"
        for role, stored in places.items()
        if stored and not (data_root / stored).is_dir()
    ]


def _folder(role: str, stored: str, root: Path, classes: tuple[str, ...] | None) -> Folder:
    path = root / stored
    try:
        path = resolve(stored, root)
        listing = list_images(path, classes)
    except PathRefused as error:
        return Folder(role, stored, None, (f"data.{role}: {error}",))
    except OSError as error:
        said = f"data.{role}: {error.filename or path}: {error.strerror}"
        return Folder(role, str(path), None, (f"{said}\n  {TAKEN_FROM}",))
    words = {
        "has no folder for class": listing.missing,
        "has a folder that is no class of the training set:": listing.extra,
        "has no image of class": listing.empty,
    }
    problems = [
        f"data.{role}: {path} {what} {name}" for what, names in words.items() for name in names
    ]
    if not listing.files and not problems:
        problems = [f"data.{role}: {path} has no class folders; expected one a class"]
    return Folder(role, str(path), listing, tuple(problems))


def build(settings: Settings, spec: Spec) -> Examination:
    """Build the model with Keras, in a process of its own: summary, parameters, memory.

    Raises:
        NoKeras: it is not installed here.
    """
    return _ask("build", settings, spec.document())


def decode(settings: Settings, spec: Spec) -> Examination:
    """Decode every image of the spec, in a process of its own.

    A job with a folder or a class missing never comes to its images; here those that are there
    are looked at all the same, so that everything wrong is told at once.

    Raises:
        NoKeras: it is not installed here.
    """
    whole = _ask("data", settings, spec.document())
    if not whole.failure or BAD_FILES in whole.failure:
        return whole
    alone = [
        _alone(spec, folder.role, folder.listing)
        for folder in folders(spec, settings.data_root_path)
        if folder.listing and folder.listing.files
    ]
    # A folder may have two roles.
    looked = {str(one): _ask("data", settings, one).failure for one in alone}
    bad = [failure for failure in looked.values() if BAD_FILES in failure]
    return Examination("", "\n".join([whole.failure, *bad]))


@dataclass(frozen=True)
class Packed:
    """What became of one of a spec's folders.

    Args:
        folder: its path here.
        images: how many files of it the spec uses.
        pack: the name of the pack that holds them; None where there is none.
        bytes: what the pack takes of the disk.
        unpacked: why there is none.
    """

    folder: str
    images: int
    pack: str | None
    bytes: int | None
    unpacked: str | None


def pack(
    settings: Settings, spec: Spec, tell: Callable[[int, int], None]
) -> tuple[list[Packed], str]:
    """Pack the images of a spec on this host, in a process of its own.

    Args:
        settings: say where packs lie, and what they may take.
        spec: whose `data` section says what is decoded to what.
        tell: called with how many images of a folder are decoded, and how many it has.
    Returns:
        What became of each folder, and why a job would fail; empty when it would not.

    Raises:
        NoKeras: it is not installed here.
    """
    packed: list[Packed] = []
    failure: list[str] = []
    with _spec_file(spec.document()) as file, tempfile.TemporaryFile("w+") as heard:
        command = _command("pack", settings, file)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=heard, text=True) as process:
            assert process.stdout is not None  # noqa: S101 - asked for above
            for line in process.stdout:
                said = json.loads(line) if line.startswith("{") else line.rstrip("\n")
                if isinstance(said, str):
                    failure.append(said)
                elif "done" in said:
                    tell(said["done"], said["total"])
                else:
                    packed.append(Packed(**said))
        heard.seek(0)
        if process.returncode not in {0, INVALID}:
            failure = [_ended(process.returncode, heard.read())]
    return packed, "\n".join(failure)


def _alone(spec: Spec, role: str, listing: Listing) -> dict[str, Any]:
    """A spec that trains on nothing but what a folder has, whatever else is wrong."""
    data = spec.data
    validation = data.validation.folder if data.validation else None
    stored = {"train": data.train, "validation": validation, "test": data.test}[role]
    filled = [name for name, images in listing.counts.items() if images]
    return {
        "data": {
            "train": stored,
            # A spec names two or more, or none.
            "class_names": filled if len(filled) > 1 else None,
            "image_size": list(data.image_size),
            "color_mode": data.color_mode,
            "interpolation": data.interpolation,
            "crop_to_aspect_ratio": data.crop_to_aspect_ratio,
        },
        "model": ["Flatten", {"Dense": {"units": "classes"}}],
        "compile": {"optimizer": "Adam", "loss": "SparseCategoricalCrossentropy"},
        "fit": {"epochs": 1},
    }


def _command(what: Literal["build", "data", "pack"], settings: Settings, file: Path) -> list[str]:
    if importlib.util.find_spec("keras") is None:
        raise NoKeras(
            "Keras is not installed here, so no model can be built and no image decoded. "
            "Install it: pip install 'fornada[worker]'"
        )
    command = [sys.executable, "-P", "-m", "worker.trainer", what, str(file)]
    return [*command, "--data-root", str(settings.data_root_path)]


def _ended(status: int, stderr: str) -> str:
    said = stderr.strip().rpartition("\n")[2]
    return f"the process that looked ended with {status}: {said}"


def _ask(
    what: Literal["build", "data"], settings: Settings, spec: Mapping[str, Any]
) -> Examination:
    with _spec_file(spec) as file:
        done = subprocess.run(
            _command(what, settings, file),
            env=os.environ | {"COLUMNS": COLUMNS},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == INVALID:
        said = done.stdout.strip()
        # What it noted of folders before is no failure.
        begin = _CODE.search(said)
        return Examination("", said[begin.start() :] if begin else said)
    if done.returncode:
        return Examination("", _ended(done.returncode, done.stderr))
    return Examination(done.stdout, "")


@contextmanager
def _spec_file(spec: Mapping[str, Any]) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(spec, file)
        file.flush()
        yield Path(file.name)
