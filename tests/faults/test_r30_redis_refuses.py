"""R30: Redis answers with errors: no running job hears of it, and slots take jobs from SQL.

Every error at all commands, and one error at each command; `FORNADA_TEST_FULL=1` makes it every
error at each command.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
import redis as redis_py

from fornada.errors import BrokerUnreachable
from fornada.stack import broker
from fornada.worker.host.hangs import LOOP_S
from tests.acceptance.installed import Fornada
from tests.acceptance.specs import small
from tests.faults.refusing_redis import ERRORS, RefusingRedis
from tests.faults.telling import tell
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import QUICK, Site, WorkerProcess

# What workers and clients send when they connect, and then.
AT_FIRST = {"HELLO", "CLIENT", "PING"}
LATER = {"LLEN", "LPUSH", "BRPOP"}
FULL = os.environ.get("FORNADA_TEST_FULL") == "1"


@dataclass(frozen=True)
class Case:
    """Which commands Redis refuses: all where none is named; to new connections if `anew`."""

    code: str
    command: str = ""
    anew: bool = False

    def __str__(self) -> str:
        return " ".join([self.code, self.command, "anew" if self.anew else "kept"])


CASES = [Case(code, anew=anew) for code, anew in product(ERRORS, (False, True))]
CASES += [
    Case(code, command, anew=command in AT_FIRST)
    for code, command in product(ERRORS if FULL else ["NOPERM"], sorted(AT_FIRST | LATER))
]
# A round of upkeep, and time to claim a job and to train it on a busy machine.
TRAINED_S = float(QUICK["UPKEEP_S"]) + 8.0
# An outage is over when Celery has tried to connect again, after at most 32 s.
RESUMED_S = 60.0


@pytest.fixture(scope="module")
def proxy(redis: RedisServer) -> Iterator[RefusingRedis]:
    """The way to Redis for all workers and clients of the module."""
    with RefusingRedis(redis.socket) as opened:
        yield opened


@pytest.fixture(scope="module")
def site(
    proxy: RefusingRedis, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site whose workers and clients reach Redis through the proxy."""
    folder = tmp_path_factory.mktemp("sqlite")
    with Site(f"sqlite:///{folder}/fornada.db", proxy.through(redis.url)) as made:
        yield made


@dataclass(frozen=True)
class Scene:
    """A worker with two slots, and the job that one of them trains through the whole module."""

    site: Site
    worker: WorkerProcess
    running: int

    def trains(self, what: object) -> None:
        """See that a job that nobody is woken for is trained, once."""
        site = self.site
        done = site.wait(site.add("fine", wake=False), timeout_s=TRAINED_S)
        tell(f"{what}: trained", site, self.running)
        assert (done["state"], done["attempts"]) == ("succeeded", 1)

    def listens(self, worker: WorkerProcess) -> None:
        """See that a wake-up for nobody is taken, which only a worker that listens does."""
        site = self.site
        until(lambda: site.publisher.queue_length(site.queue) == 0, RESUMED_S, saw=worker.text)
        site.publisher.publish(site.queue, None, None)
        until(lambda: site.publisher.queue_length(site.queue) == 0, RESUMED_S, saw=worker.text)
        tell("listening", site, self.running)
        self.undisturbed()

    def undisturbed(self) -> None:
        """See that the job still trains in its first attempt."""
        found = (self.site.state(self.running), self.site.show(self.running)["attempts"])
        assert found == ("running", 1), self.worker.text()

    @property
    def away(self) -> int:
        """How often the worker has said that Redis does not work."""
        return self.worker.text().count("the broker does not work")

    @property
    def back(self) -> int:
        """How often the worker has said that Redis works again."""
        return self.worker.text().count("the broker works again")


@pytest.fixture(scope="module")
def scene(site: Site) -> Iterator[Scene]:
    """The worker and its job, which nothing may disturb."""
    with site.worker("--slots", "2") as worker:
        scene = Scene(site, worker, site.in_epoch(1, "wait"))
        celery = worker.celery
        yield scene
        assert worker.celery == celery
        scene.undisturbed()
        site.cancel(scene.running)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_r30_jobs_go_on_whatever_redis_refuses(
    scene: Scene, proxy: RefusingRedis, case: Case
) -> None:
    before = proxy.refused
    with proxy.refusing(case.code, case.command, anew=case.anew):
        # Upkeep looks for wake-ups in Redis only while a job waits.
        scene.site.add("fine", wake=False)
        until(lambda: proxy.refused > before, 20, saw=scene.worker.text)
        scene.trains(case)
    scene.listens(scene.worker)


@pytest.mark.skipif(not FULL, reason="two outages of 80 s")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "case", [Case("ERR", "HELLO", anew=True), Case("NOPERM", "BRPOP")], ids=str
)
def test_r30_a_long_refusal_is_not_taken_for_a_hang(
    scene: Scene, proxy: RefusingRedis, case: Case
) -> None:
    end = time.monotonic() + LOOP_S + 20
    with proxy.refusing(case.code, case.command, anew=case.anew):
        while time.monotonic() < end:
            scene.trains(case)
    scene.listens(scene.worker)
    assert "hangs" not in scene.worker.text()


@pytest.mark.usefixtures("scene")
def test_r30_no_other_command_is_sent(proxy: RefusingRedis) -> None:
    until(lambda: proxy.seen >= AT_FIRST | {"BRPOP"}, 20)
    assert proxy.seen <= AT_FIRST | LATER


def test_r30_an_outage_is_logged_once_and_so_is_its_end(scene: Scene, proxy: RefusingRedis) -> None:
    until(lambda: scene.away == scene.back, 20, saw=scene.worker.text)
    before = scene.away
    with proxy.refusing("READONLY", "", anew=True):
        until(lambda: scene.away > before, 20, saw=scene.worker.text)
        for _ in range(3):
            scene.trains("READONLY")
    until(lambda: scene.back > before, 20, saw=scene.worker.text)
    assert (scene.away, scene.back) == (before + 1, before + 1)
    # Nor does Celery log its own attempts to connect.
    assert "Traceback" not in scene.worker.text()
    assert "consumer" not in scene.worker.text()


def test_r30_a_queue_that_is_no_list_is_logged_once(scene: Scene, redis: RedisServer) -> None:
    until(lambda: scene.away == scene.back, 20, saw=scene.worker.text)
    before = scene.away
    with redis.client() as client:
        client.set(scene.site.key, "no list")
        for _ in range(3):
            scene.trains("WRONGTYPE")
        assert (scene.away, scene.back) == (before + 1, before)
        client.delete(scene.site.key)
    scene.listens(scene.worker)
    until(lambda: scene.back > before, 20, saw=scene.worker.text)
    assert (scene.away, scene.back) == (before + 1, before + 1)


@pytest.mark.parametrize("command", ["", *sorted(AT_FIRST), "LPUSH"])
@pytest.mark.parametrize("code", ERRORS)
def test_r30_a_publisher_reports_each_refusal_at_once(
    proxy: RefusingRedis, site: Site, code: str, command: str
) -> None:
    begin = time.monotonic()
    with (
        closing(broker.Publisher(site.app)) as publisher,
        proxy.refusing(code, command, anew=False),
        pytest.raises(BrokerUnreachable) as refused,
    ):
        publisher.publish("elsewhere", None, None)
    assert refused.value.answer == code
    assert time.monotonic() - begin < broker.ANSWER_S


Change = Callable[[redis_py.Redis], object]


def _config(name: str, value: str | int) -> Change:
    return lambda client: client.config_set(name, value)


def _all(*changes: Change) -> Change:
    return lambda client: [change(client) for change in changes]


def _replica(client: redis_py.Redis) -> None:
    client.slaveof("127.0.0.1", 1)


def _master(client: redis_py.Redis) -> None:
    client.slaveof()


def _rights(rule: str) -> Change:
    return lambda client: _send(client, "ACL", "SETUSER", "default", *rule.split())


@dataclass(frozen=True)
class State:
    """How Redis comes into a state in which it refuses, what it says, and how it comes out again.

    Redis refuses only new connections if `anew`.
    """

    says: str
    begin: Change
    end: Change
    anew: bool = False


REAL = {
    "a replica": State("READONLY", _replica, _master),
    "a replica that refuses to read": State(
        "READONLY",
        _all(_config("replica-serve-stale-data", "no"), _replica),
        _all(_config("replica-serve-stale-data", "yes"), _master),
    ),
    "full": State("OOM", _config("maxmemory", 1), _config("maxmemory", 0)),
    "without rights": State("NOPERM", _rights("-lpush -brpop -llen"), _rights("+@all")),
    "too few replicas": State(
        "NOREPLICAS", _config("min-replicas-to-write", 1), _config("min-replicas-to-write", 0)
    ),
    "another password": State("WRONGPASS", _rights("resetpass >other"), _rights(""), anew=True),
    "too many clients": State(
        # It closes the connection at once, perhaps before the client has read why.
        "Redis at",
        _config("maxclients", 1),
        _config("maxclients", 1000),
        anew=True,
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_r30_workers_start_and_jobs_are_accepted_whatever_redis_refuses(
    scene: Scene, proxy: RefusingRedis, redis: RedisServer, tmp_path: Path, name: str
) -> None:
    state, site = REAL[name], scene.site
    ours = {name: value for name, value in site.environment().items() if "FORNADA_" in name}
    fornada = Fornada(site.home, ours)
    with ExitStack() as ends, redis.client() as client:
        client.ping()
        ends.callback(_well_again, client, state.end, redis.password)
        state.begin(client)
        if state.anew:
            proxy.cut()

        done = fornada("submit", "-q", small(tmp_path, "fine", queue=site.queue))
        assert done.stderr.count("Warning") == 1, done
        assert site.wait(int(done.stdout), timeout_s=TRAINED_S)["attempts"] == 1
        findings = fornada("doctor", "--json", code=6).document["findings"]
        (found,) = [one for one in findings if one["what"] == "broker"]
        assert (found["well"], bool(found["todo"])) == (False, True)
        assert state.says in found["found"]
        assert fornada("worker", "ls").stderr.count("Warning") == 1

        # It takes the other slot of the first worker, so that the second worker trains the rest.
        filling = site.in_epoch(1, "wait", wake=False)
        with site.worker("--slots", "1") as second:
            scene.trains(f"{name}, on {second.name} that starts")
            ends.close()
            scene.listens(second)
        site.cancel(filling)
    scene.listens(scene.worker)
    assert fornada("worker", "ls").stderr == ""
    assert redis.password not in f"{findings} {done} {scene.worker.text()} {second.text()}"


def _well_again(client: redis_py.Redis, end: Change, password: str) -> None:
    end(client)
    _send(client, "ACL", "SETUSER", "default", "resetpass", f">{password}")


def _send(client: redis_py.Redis, *words: str) -> None:
    client.execute_command(*words)  # type: ignore[no-untyped-call]
