"""R29: after a whole life cycle no password is in any log, argument list, row or artifact."""

import base64
import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.house import NAME, House
from tests.processes import command, living, name
from tests.until import until

# All of it happens before the first test.
pytestmark = pytest.mark.timeout(900)

# Epochs of a real training.
SMALL = ["fit.epochs=2"]
# Seconds that a real training may take while other tests have the cores.
TRAINING_S = 180.0


class Watch(threading.Thread):
    """Reads every process's arguments, and the environment of trainers and of their factory."""

    def __init__(self, older: set[int]) -> None:
        super().__init__(daemon=True)
        self.arguments: set[str] = set()
        self.environments: dict[int, str] = {}
        # These know no password. They are most of what a look would cost, and a look every 50 ms
        # is most of what this file costs.
        self._older = set(older)
        self._over = threading.Event()

    def run(self) -> None:
        """Look again and again, as fast as the kernel answers."""
        while not self._over.wait(0.05):
            there = living()
            self._older &= there
            for pid in there - self._older:
                self.arguments.add(" ".join(command(pid)))
                if name(pid) in ("fornada-trainer", "fornada-factory"):
                    self._look(pid)

    def _look(self, pid: int) -> None:
        try:
            found = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
        except OSError:
            return
        if found:
            self.environments[pid] = found

    def end(self) -> None:
        """Stop looking."""
        self._over.set()
        self.join()


class Story:
    """What was left behind by a house in which everything has happened once."""

    def __init__(self, house: House, older: set[int]) -> None:
        self.said: list[str] = []
        self.watch = Watch(older)
        self._house = house
        self.watch.start()
        try:
            self._live()
        finally:
            self.watch.end()

    def _live(self) -> None:
        house, site = self._house, self._house.site
        with site.keras_worker("--slots", "1") as worker:
            self._peek(worker.celery, worker.process.pid)
            trained = house.submit("trained", overrides=SMALL, tags={"a": "b"})
            ended = site.wait(trained, timeout_s=TRAINING_S)
            assert ended["state"] == "succeeded", ended["failure"]
            for words in (("show", trained, "--events"), ("logs", trained), ("doctor",)):
                self._say(*words)
            failing = house.submit("failing", overrides=["data.train=Data/None"])
            site.wait(failing, timeout_s=TRAINING_S)
            self._say("show", failing, "--json")
        self._lose_servers()

    def _peek(self, *pids: int) -> None:
        """Read a supervisor's secrets as a trainer would that turned hostile."""
        code = f"""
            from pathlib import Path
            from fornada.worker.trainer.process.confine import confine
            confine()
            for pid in {pids}:
                for name in ("environ", "mem", "auxv", "maps", "cwd", "fd/0", "fd/2"):
                    place = Path(f"/proc/{{pid}}/{{name}}")
                    try:
                        linked = name in ("cwd", "fd/0", "fd/2")
                        place.readlink() if linked else place.open("rb").read(1)
                        print(pid, name, "READ")
                    except OSError as error:
                        print(pid, name, "closed", error.strerror)
        """
        self.peeked = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def _lose_servers(self) -> None:
        house = self._house
        wrong = house.url("client").replace(NAME + "?", "another?")
        for settings in (
            {"FORNADA_DATABASE_URL": wrong},
            {"FORNADA_DATABASE_URL": house.url("client").replace("_client:", "_client:x")},
            {"FORNADA_DATABASE_URL": house.url("client").replace("postgresql", "mysql")},
            {"FORNADA_BROKER_URL": house.redis.url("client").replace("redis", "amqp")},
            {"FORNADA_LEASE_S": "x"},
        ):
            what = "doctor" if "FORNADA_BROKER_URL" in settings else "ls"
            self._say("--debug", what, **settings)
        house.redis.stop()
        spec = Path("specs") / "digits.yaml"
        self._say("--debug", "submit", spec)
        house.postgres.stop()
        self._say("--debug", "submit", spec)
        self._say("db", "upgrade", FORNADA_DEBUG="1")
        worker = house.site.worker("--slots", "1")
        try:
            until(lambda: "waiting for the database" in worker.text(), 60, saw=worker.text)
        finally:
            worker.stop()
        house.redis.start()
        house.postgres.start()

    def _say(self, *words: object, **settings: str) -> None:
        """Run a command, perhaps with other settings, and keep what it says."""
        done = self._house.fornada.with_settings(**settings).start(*words)
        self.said += done.communicate(timeout=120)


@pytest.fixture(scope="module")
def older() -> set[int]:
    """Processes from before any of the passwords was made."""
    return living()


@pytest.fixture(scope="module")
def house(older: set[int]) -> Iterator[House]:
    with House() as made:
        yield made


@pytest.fixture(scope="module")
def story(house: House, older: set[int]) -> Story:
    return Story(house, older)


def found(house: House, text: str | bytes) -> list[str]:
    """Whose passwords stand in a text, as they are or in base64."""
    content = text.encode(errors="replace") if isinstance(text, str) else text
    return [
        who
        for who, password in house.passwords.items()
        if password.encode() in content or base64.b64encode(password.encode()) in content
    ]


def test_r29_what_is_looked_for_would_be_found(house: House) -> None:
    assert len(set(house.passwords.values())) == 6
    assert found(house, house.url("worker")) == ["PostgreSQL's worker"]


def test_r29_no_password_is_in_any_list_of_arguments(house: House, story: Story) -> None:
    print(f"R29: {len(story.watch.arguments)} lists of arguments seen")
    assert any("redis-server" in words for words in story.watch.arguments)
    assert any("fornada-worker" in words for words in story.watch.arguments)
    for words in story.watch.arguments:
        assert found(house, words) == [], words


def test_r29_no_password_is_in_a_trainers_environment(house: House, story: Story) -> None:
    print(f"R29: {len(story.watch.environments)} trainers seen alive")
    assert story.watch.environments
    for environment in story.watch.environments.values():
        assert found(house, environment) == []
        assert "FORNADA_DATABASE_URL" not in environment
        assert "FORNADA_BROKER_URL" not in environment


def test_r29_a_trainer_cannot_look_into_its_supervisor(story: Story) -> None:
    print("R29:", story.peeked.replace("\n", "; "))
    assert len(story.peeked.splitlines()) == 14
    assert "READ" not in story.peeked


def test_r29_no_password_was_said(house: House, story: Story) -> None:
    said = "\n".join(story.said)
    print(f"R29: {len(said)} characters said, {said.count('Traceback')} tracebacks")
    assert "Traceback" in said
    assert "***" in said
    assert found(house, said) == []


def test_r29_no_password_is_in_any_file(house: House, story: Story) -> None:
    assert story.said
    files = [path for path in house.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    logs = [house.postgres.folder / "log", house.redis.folder / "log"]

    print(f"R29: {len(files)} files of the home, with {len(list(house.folder.glob('*.log')))} logs")
    assert any(path.name == "best.keras" for path in files)
    assert any(path.name == "train.log" for path in files)
    for path in [*files, *logs]:
        assert found(house, path.read_bytes()) == [], path


def test_r29_no_password_is_in_any_row(house: House, story: Story) -> None:
    assert story.said
    with house.postgres.connect(NAME) as connection:
        tables = [
            row[0]
            for row in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname='public'"
            )
        ]
        rows = {
            str(table): [
                str(row[0])
                for row in connection.execute(f'SELECT t::text FROM "{table}" t'.encode())  # noqa: S608
            ]
            for table in tables
        }

    print(f"R29: {sum(map(len, rows.values()))} rows of {len(rows)} tables")
    assert rows["job"]
    assert rows["event"]
    assert rows["epoch"]
    for table, its in rows.items():
        assert found(house, "\n".join(its)) == [], table


def test_r29_no_password_is_in_a_message(house: House, story: Story) -> None:
    assert story.said
    house.fornada("submit", "-q", "specs/digits.yaml", "--queue", "unread", "--wait-for-worker")
    with house.redis.client("worker") as redis:
        key, message = redis.brpop(f"{house.site.key_prefix}unread", 1)

    body = base64.b64decode(json.loads(message)["body"])
    print(f"R29: a message of {len(message)} bytes")
    assert b"spec" in body
    assert found(house, key + message + body) == []
