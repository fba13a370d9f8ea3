"""A look at the images and the model of a spec, before it is submitted.

That needs Keras and a decoder, so a trainer process is asked; this package loads neither.
"""

import importlib.util
import json
import os
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

# Keras cuts its summary at the width of the terminal, and takes a pipe for one of 80 columns.
COLUMNS = "120"
# What the process ends with when a job would fail; its last line says why.
INVALID = 3


@dataclass(frozen=True)
class Failure:
    """Why a job would fail.

    Args:
        code: of `fornada.db.states.FailureCode`; None when the process itself failed.
        message: a sentence, or several lines.
    """

    code: str | None
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.code else self.message


@dataclass(frozen=True)
class Preview:
    """What a process found that looked at a spec.

    Args:
        text: what there is to say; empty when a job would fail.
        failure: why a job would fail; None when it would not.
    """

    text: str
    failure: Failure | None


def build(settings: Settings, spec: Spec) -> Preview:
    """Build the model with Keras, in a process of its own: summary, parameters, memory.

    Raises:
        NoKeras: it is not installed here.
    """
    return _ask("build", settings, spec.document())


def decode(settings: Settings, spec: Spec) -> Preview:
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
) -> tuple[list[Packed], Failure | None]:
    """Pack the images of a spec on this host, in a process of its own.

    Args:
        settings: say where packs lie, and what they may take.
        spec: whose `data` section says what is decoded to what.
        tell: called with how many images of a folder are decoded, and how many it has.
    Returns:
        What became of each folder, and why a job would fail; None when it would not.

    Raises:
        NoKeras: it is not installed here.
    """
    packed: list[Packed] = []
    failure = None
    for message in _answers("pack", settings, spec.document()):
        if isinstance(message, Failure):
            failure = message
        elif "done" in message:
            tell(message["done"], message["total"])
        else:
            packed.append(Packed(**message))
    return packed, failure


def _ask(what: Literal["build", "data"], settings: Settings, spec: Mapping[str, Any]) -> Preview:
    text, failure = "", None
    for message in _answers(what, settings, spec):
        if isinstance(message, Failure):
            failure = message
        else:
            text = message["text"]
    return Preview(text, failure)


def _answers(
    what: Literal["build", "data", "pack"], settings: Settings, spec: Mapping[str, Any]
) -> Iterator[dict[str, Any] | Failure]:
    """The messages of a process of `fornada.worker.trainer.preview`, as it prints them."""
    with _spec_file(spec) as file, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            _command(what, settings, file),
            env=os.environ | {"COLUMNS": COLUMNS},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        with process:
            assert process.stdout is not None  # noqa: S101 - asked for above
            for line in process.stdout:
                message = json.loads(line)
                yield Failure(**message) if "code" in message else message
        if process.returncode not in {0, INVALID}:
            stderr.seek(0)
            yield _ended(process.returncode, stderr.read())


def _command(what: str, settings: Settings, file: Path) -> list[str]:
    if importlib.util.find_spec("keras") is None:
        raise NoKeras(
            "Keras is not installed here, so no model can be built and no image decoded. "
            "Install it: pip install 'fornada[worker]'"
        )
    command = [sys.executable, "-P", "-m", "fornada.worker.trainer", what, str(file)]
    return [*command, "--data-root", str(settings.data_root_path)]


def _ended(status: int, stderr: str) -> Failure:
    said = stderr.strip().rpartition("\n")[2]
    return Failure(None, f"the process that looked ended with {status}: {said}")


@contextmanager
def _spec_file(spec: Mapping[str, Any]) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(spec, file)
        file.flush()
        yield Path(file.name)
