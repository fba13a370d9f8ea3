"""Decode the images and build the model of a spec before it is submitted.

Only a separate process of `fornada.worker.trainer` imports Keras and an image decoder for this;
the process of the command imports neither.
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

# The value of COLUMNS for the process. Keras cuts its model summary at the width of the terminal,
# and assumes 80 columns for a pipe.
COLUMNS = "120"
# Exit code of the process when a job would fail; its last message says why.
INVALID = 3


@dataclass(frozen=True)
class WouldFail:
    """Why a job would fail.

    Args:
        code: a value of `fornada.db.states.FailureCode`; None when the process itself failed.
        message: one sentence or several lines.
    """

    code: str | None
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.code else self.message


@dataclass(frozen=True)
class Preview:
    """What the process found out about a spec.

    Args:
        text: the report for a person; empty when a job would fail.
        failure: why a job would fail; None when it would not.
    """

    text: str
    failure: WouldFail | None


def build(settings: Settings, spec: Spec) -> Preview:
    """Build the model with Keras in a separate process; reports summary, parameters and memory.

    Raises:
        NoKeras: Keras is not installed here.
    """
    return _ask("build", settings, spec.document())


def decode(settings: Settings, spec: Spec) -> Preview:
    """Decode every image of the spec in a separate process.

    A job stops at a missing folder or class before it reads an image. This function decodes the
    images of the other folders anyway, so that a person sees all problems at once. Problems of the
    folders themselves come from `fornada.data.inspection`.

    Raises:
        NoKeras: Keras is not installed here.
    """
    return _ask("data", settings, spec.document())


@dataclass(frozen=True)
class Packed:
    """The result of packing one of a spec's folders.

    Args:
        folder: path of the folder on this host.
        images: how many of its files the spec uses.
        pack: name of the pack that holds them; None if no pack was made.
        bytes: size of the pack on disk; None if no pack was made.
        unpacked: why no pack was made; None if there is a pack.
    """

    folder: str
    images: int
    pack: str | None
    bytes: int | None
    unpacked: str | None


def pack(
    settings: Settings, spec: Spec, tell: Callable[[int, int], None]
) -> tuple[list[Packed], WouldFail | None]:
    """Pack the images of a spec on this host, in a separate process.

    Args:
        settings: where packs are, and how much disk space they may use.
        spec: its `data` section says which images to decode and how.
        tell: called with how many images of a folder are decoded, and how many it has.
    Returns:
        The result for each folder; and why a job would fail, or None when it would not.

    Raises:
        NoKeras: Keras is not installed here.
    """
    packed: list[Packed] = []
    failure = None
    for message in _answers("pack", settings, spec.document()):
        if isinstance(message, WouldFail):
            failure = message
        elif "done" in message:
            tell(message["done"], message["total"])
        else:
            packed.append(Packed(**message))
    return packed, failure


def _ask(what: Literal["build", "data"], settings: Settings, spec: Mapping[str, Any]) -> Preview:
    text, failure = "", None
    for message in _answers(what, settings, spec):
        if isinstance(message, WouldFail):
            failure = message
        else:
            text = message["text"]
    return Preview(text, failure)


def _answers(
    what: Literal["build", "data", "pack"], settings: Settings, spec: Mapping[str, Any]
) -> Iterator[dict[str, Any] | WouldFail]:
    """Run `fornada.worker.trainer.preview` in a process, and yield its messages as it prints them.

    If the process ends in an unexpected way, the last message is a `WouldFail` that says so.
    """
    with _spec_file(spec) as file, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            _command(what, settings, file),
            env=os.environ | {"COLUMNS": COLUMNS},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        with process:
            assert process.stdout is not None  # noqa: S101 - Popen was given stdout=PIPE
            for line in process.stdout:
                message = json.loads(line)
                yield WouldFail(**message) if "code" in message else message
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


def _ended(status: int, stderr: str) -> WouldFail:
    last_line = stderr.strip().rpartition("\n")[2]
    return WouldFail(None, f"the process that checked the spec ended with {status}: {last_line}")


@contextmanager
def _spec_file(spec: Mapping[str, Any]) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(spec, file)
        file.flush()
        yield Path(file.name)
