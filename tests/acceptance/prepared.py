"""A home with jobs in every state, and for each command a line that works in it.

The commands come from Click's tree, and their words from their parameters, so a new command has a
line, or `line` says what it lacks.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

from fornada.cli.main import fornada
from fornada.client import Client
from fornada.data.packs import MAKING
from fornada.db.queue import attempts, verdicts, workers
from fornada.db.records import ArtifactRow, BestModelRow
from fornada.settings import Settings
from tests.acceptance.specs import small
from tests.services.store import STARTED, SUCCEEDED, TEST, claim, epoch, worker
from tests.unit.test_idx import write_set

REPOSITORY = Path(__file__).parents[2]
# No worker is ever silent for so long.
PATIENT = {"FORNADA_LEASE_S": "4e6", "FORNADA_UPKEEP_S": "1e6", "FORNADA_HEARTBEAT_S": "1e6"}
SUCCEEDED_JOB, QUEUED_JOB, CANCELLED_JOB, HELD_JOB = 1, 2, 3, 4
WORKER = "oven"
# The job that a command can act on, where it is not the one that has succeeded.
JOBS = {
    "cancel": QUEUED_JOB,
    "hold": QUEUED_JOB,
    "move": QUEUED_JOB,
    "release": HELD_JOB,
    "retry": CANCELLED_JOB,
}
# What a command needs although no single option is required.
MORE = {"move": ["--priority", "7"]}


@dataclass(frozen=True)
class Prepared:
    """A folder with a home and what commands read.

    Args:
        folder: holds `home`, `idx` and the specs.
    """

    folder: Path

    @property
    def home(self) -> Path:
        """The home."""
        return self.folder / "home"

    @property
    def spec(self) -> Path:
        """A valid spec whose folders exist."""
        return self.folder / "first.yaml"

    def line(self, path: tuple[str, ...], command: click.Command, out: Path) -> list[str]:
        """Words with which a command works in this home.

        Args:
            path: the names of the command: `queue ls`.
            command: what Click knows about it.
            out: a folder that does not exist, for what the command writes.
        Raises:
            KeyError: this module has no word for a parameter of the command.
        """
        name = " ".join(path)
        known = {
            "JOB": str(JOBS.get(name, SUCCEEDED_JOB)),
            "SPEC": str(self.spec),
            "DIR|SPEC": str(self.spec),
            "QUEUE": "default",
            "WORKER|HOST": WORKER,
            "IDX_DIR": str(self.folder / "idx"),
            "OUT_DIR": str(out),
            "SHELL": "bash",
            "+N": "+1",
            "N|none": "2",
        }
        words = [*path, *MORE.get(name, ())]
        for each in command.params:
            kind = (each.metavar or each.human_readable_name).strip("[]…")
            if isinstance(each, click.Argument):
                words.append(known[kind])
            elif each.required:
                words += [each.opts[0], known[kind]]
        return words


def leaves(
    group: click.Group = fornada, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its names."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


def prepare(folder: Path) -> Prepared:
    """Make the home and the files in an empty folder."""
    one = Prepared(folder)
    write_set(folder / "idx", train=[1, 2], test=[1])
    data = str(REPOSITORY / "Data/Train")
    with Client(Settings(home=one.home, lease_s=4e6, upkeep_s=1e6, heartbeat_s=1e6)) as client:
        small(folder, "first", epochs=2, train=data)
        text = one.spec.read_text().replace("test: Data", f"test: {REPOSITORY}/Data")
        one.spec.write_text(text)
        workers.register(client._connection.database, worker(WORKER))
        assert client.submit(one.spec, tags={"owner": "ana"}).id == SUCCEEDED_JOB
        _succeed(client)
        for job in (QUEUED_JOB, CANCELLED_JOB, HELD_JOB):
            assert client.submit(one.spec, name=f"job-{job}").id == job
        client.cancel(CANCELLED_JOB)
        client.hold(HELD_JOB)
        client.move(QUEUED_JOB, priority=1)
    # What a process left that was killed while it made a pack.
    (one.home / "packs" / f"{MAKING}0").mkdir(parents=True)
    (one.home / "packs" / f"{MAKING}0" / "pixels").write_bytes(bytes(100))
    return one


def _succeed(client: Client) -> None:
    """Record an attempt of the first job that has succeeded, with its files."""
    database = client._connection.database
    claimed = claim(database)
    assert claimed is not None
    fence = claimed.fence
    folder = client.settings.artifacts_folder / client.show(1)["uid"] / "attempt-1"
    (folder / "state").mkdir(parents=True)
    files = []
    for kind, name in (("best_model", "best.keras"), ("training_state", "state")):
        if kind == "best_model":
            (folder / name).write_bytes(b"model")
        size, digest = 5, hashlib.sha256(b"model").hexdigest()
        uri = f"artifacts:{folder.parent.name}/attempt-1/{name}"
        files.append(ArtifactRow(kind, uri, size, digest))
    (folder / "train.log").write_text("epoch 1\nepoch 2\n")
    attempts.started(database, fence, STARTED)
    best = BestModelRow(2, "val_loss", 0.5, files[0].uri, 5, files[0].sha256 or "")
    attempts.record_epochs(database, fence, [epoch(1), epoch(2, best)])
    verdicts.finish(
        database, fence, replace(SUCCEEDED, best=best, test=TEST, artifacts=tuple(files))
    )
