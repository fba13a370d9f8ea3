"""Looks at the images and the model of a spec, before it is submitted.

That needs Keras and a decoder, so a trainer process is asked; this package loads neither.
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
from fornada.settings import Settings
from fornada.spec import Spec

# Keras cuts its summary at the width of the terminal, and a pipe passes for one of 80 columns.
COLUMNS = "120"
# What a trainer process ends with when the spec's model or data are wrong, and it says why.
INVALID = 3
# How it begins to say why a job would fail.
_CODE = re.compile(r"^[A-Z_]+: ", re.MULTILINE)


@dataclass(frozen=True)
class Examination:
    """What a trainer process found.

    Args:
        text: what it says on stdout.
        failure: why a job would fail; empty when it would not.
    """

    text: str
    failure: str


def build(settings: Settings, spec: Spec) -> Examination:
    """Build the model with Keras, in a process of its own: summary, parameters, memory.

    Raises:
        NoKeras: it is not installed here.
    """
    return _ask("build", settings, spec.document())


def decode(settings: Settings, spec: Spec) -> Examination:
    """Decode every image of the spec, in a process of its own.

    A job with a folder or a class missing never comes to its images; here those that are there
    are looked at all the same, so that everything wrong is told at once. What is wrong with the
    folders themselves, `fornada.data.inspection` tells.

    Raises:
        NoKeras: it is not installed here.
    """
    return _ask("data", settings, spec.document())


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


def _command(what: Literal["build", "data", "pack"], settings: Settings, file: Path) -> list[str]:
    if importlib.util.find_spec("keras") is None:
        raise NoKeras(
            "Keras is not installed here, so no model can be built and no image decoded. "
            "Install it: pip install 'fornada[worker]'"
        )
    command = [sys.executable, "-P", "-m", "fornada.worker.trainer", what, str(file)]
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
