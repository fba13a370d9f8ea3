"""Whatever comes through a queue or a pipe is read, or refused in the one way that is meant for it.

The readers meet real bytes: elements of a real Redis, lines of real pipes.
"""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kombu import Connection, Consumer
from kombu.utils.json import loads as kombu_loads
from pydantic import ValidationError
from redis import Redis
from sqlalchemy import func, select

from fornada.client.submission import new_job
from fornada.db.store.session import Database
from fornada.db.store.tables import Job
from fornada.settings import Settings
from fornada.spec import load
from fornada.stack import broker
from fornada.worker.messages import (
    EpochReport,
    Failed,
    Stop,
    Train,
    WhyStop,
    decode_down,
    decode_up,
    encode,
)
from fornada.worker.slots.trainer_process import Garbled, Trainer
from fornada.worker.wakeups import payloads
from fornada.worker.wakeups.filter import only_wake_ups, wake_up
from tests.servers import RedisServer
from tests.services.elements import element, hostile

# Tracing doubles the time of thousands of cases.
pytestmark = pytest.mark.no_cover

REPOSITORY = Path(__file__).parents[2]
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
_NEW = new_job(load(REPOSITORY / "specs" / "digits.yaml", data_root=REPOSITORY, base=REPOSITORY))
_DOCUMENT = json.loads(json.dumps(asdict(_NEW)))

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["fornada.wake", "__type__", "decimal", "..", "\0", "\x1b[2J", "9" * 5000]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["uid", "document", "task", "__type__", "__value__", "spec", "x"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@st.composite
def changed(draw: st.DrawFn, whole: Any) -> Any:
    """A JSON value with one to three of its nodes deleted or replaced."""
    value = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 3))):
        node = value
        while isinstance(node, dict | list) and node:
            keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
            key = draw(st.sampled_from(keys))
            inner = node[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 3)) == 0:
                if draw(st.booleans()):
                    node[key] = draw(JSON)
                else:
                    del node[key]
                break
            node = inner
    return value


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes cut, flipped, doubled, or with others put in."""
    text = whole
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(1, 9)))
        put = draw(st.sampled_from([b"", b"\n", b"\0", b'"', b"{", b"]", b"\xff", b"9" * 400]))
        text = text[:start] + put + text[draw(st.sampled_from([start, stop, len(text)])) :]
    return text


# ---------------------------------------------------------------------------- elements of a queue


_ELEMENT = json.loads(element(payload={"uid": _NEW.uid, "document": _DOCUMENT}))


@given(JSON | changed(_ELEMENT))
@settings(max_examples=600, deadline=None, suppress_health_check=_SLOW)
def test_of_an_element_only_its_payload_is_kept(element: Any) -> None:
    try:
        message = wake_up(element, "q")
    except ValueError:
        return
    payload, embedded = _call(message)
    assert payload.keys() <= {"uid", "document"}
    assert embedded == dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
    told = json.loads(json.dumps(element))
    # Nothing of the element is left beside the payload: not its id, nor its delivery tag.
    assert message["headers"]["id"] != told["headers"].get("id")
    assert message["properties"].keys() == wake_up(_ELEMENT, "q")["properties"].keys()


def _call(message: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    arguments, payload, embedded = kombu_loads(base64.b64decode(message["body"]))
    assert arguments == []
    return payload, embedded


class Taker:
    """A consumer of one queue, as a worker has it, without the worker."""

    def __init__(self, server: RedisServer) -> None:
        options = Settings(broker_url=server.url, database_url="sqlite:////none")
        app = broker.make_app(options)
        self.redis: Redis = server.client()
        self.key = f"{broker.KEY_PREFIX}fuzz"
        self.came: list[Any] = []
        self.connection: Connection = app.connection_for_read()
        channel = self.connection.default_channel
        self.consumer = Consumer(
            channel, [broker.queue("fuzz")], accept=["json"], on_message=self._note, no_ack=True
        )
        self.consumer.consume()
        only_wake_ups(channel)

    def _note(self, message: Any) -> None:
        # Decoded as a worker's thread does it.
        self.came.append(message.payload)

    def take(self, pushed: bytes) -> list[Any]:
        """What a consumer sees of an element."""
        self.came.clear()
        self.redis.lpush(self.key, pushed)
        while self.redis.llen(self.key):
            with suppress(Empty, TimeoutError):
                self.connection.drain_events(timeout=1)
        return list(self.came)

    def close(self) -> None:
        self.consumer.cancel()
        self.connection.release()
        self.redis.close()


@pytest.fixture(scope="module")
def taker(redis_server: RedisServer) -> Iterator[Taker]:
    made = Taker(redis_server)
    yield made
    made.close()


@given(damaged(json.dumps(_ELEMENT).encode()) | st.binary(max_size=60))
@example(json.dumps(_ELEMENT).encode())
@settings(max_examples=250, deadline=None, suppress_health_check=_SLOW)
def test_no_element_ends_the_reader_of_a_queue(taker: Taker, pushed: bytes) -> None:
    for arguments, payload, embedded in taker.take(pushed):
        assert arguments == []
        assert payload.keys() <= {"uid", "document"}
        assert not any(embedded.values())


def test_after_all_that_a_wake_up_is_still_read(taker: Taker) -> None:
    for pushed in hostile("true").values():
        taker.take(pushed if isinstance(pushed, bytes) else pushed.encode())

    ((_, payload, _),) = taker.take(json.dumps(_ELEMENT).encode())

    assert payload == {"uid": _NEW.uid, "document": _DOCUMENT}


# ------------------------------------------------------------------------- the payload of a wake-up


@given(
    st.dictionaries(st.sampled_from(["uid", "document", "x"]), JSON, max_size=3)
    | st.fixed_dictionaries({"uid": st.uuids().map(str), "document": changed(_DOCUMENT)})
)
@settings(max_examples=250, deadline=None, suppress_health_check=_SLOW)
def test_a_payload_records_a_job_that_any_client_could_submit_or_none(
    database: Database, payload: dict[str, Any]
) -> None:
    before = _count(database)

    payloads.accept(database, payload)

    with database.read() as connection:
        rows = connection.execute(select(*Job.c).offset(before).order_by(Job.c.id)).all()
    assert len(rows) <= 1
    for row in rows:
        assert row.uid == payload["uid"]
        assert (row.state, row.attempt, row.epochs_run) == ("queued", 0, 0)
        assert row.spec_hash == payload["document"]["spec_hash"]
        assert (row.best_uri, row.failure_code, row.worker) == (None, None, None)


def _count(database: Database) -> int:
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(Job)) or 0


# ------------------------------------------------------------------------------------ the two pipes


_TRAIN = encode(
    Train(job_id=1, uid="u", attempt=1, spec=_NEW.spec, data_root=Path("/"), folder=Path("/tmp/a"))
)
_EPOCH = encode(
    EpochReport(number=1, seconds=1.0, images_per_s=1.0, learning_rate=0.1, metrics={"loss": 0.5})
)
_FAILED = encode(Failed(code="INTERNAL", message="m", traceback="t"))
_STOP = encode(Stop(job_id=1, attempt=1, reason=WhyStop.DRAIN))


@given(damaged(_TRAIN) | damaged(_STOP) | JSON.map(lambda one: json.dumps(one).encode()))
@example(b"[" * 100_000)
@example(b'{"kind": "stop", "reason": ' + b"[" * 100_000)
@settings(max_examples=500, deadline=None, suppress_health_check=_SLOW)
def test_a_line_for_the_trainer_is_a_message_or_refused(line: bytes) -> None:
    with suppress(ValidationError):
        assert isinstance(decode_down(line), Train | Stop)


@given(damaged(_EPOCH) | damaged(_FAILED) | JSON.map(lambda one: json.dumps(one).encode()))
@example(b"[" * 100_000)
@settings(max_examples=500, deadline=None, suppress_health_check=_SLOW)
def test_a_line_of_the_trainer_is_a_message_or_refused(line: bytes) -> None:
    with suppress(ValidationError):
        decode_up(line)


@pytest.fixture(scope="module")
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """Something that lives, in place of a trainer; what it would say, the test writes."""
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as cat:
        yield cat
        cat.kill()


@given(
    st.lists(
        st.sampled_from([_EPOCH, _FAILED])
        | damaged(_EPOCH)
        | st.binary(max_size=40).map(lambda line: line + b"\n"),
        max_size=6,
    ),
    st.lists(st.integers(0, 900), max_size=5),
)
@settings(max_examples=200, deadline=None, suppress_health_check=_SLOW)
def test_what_a_trainer_says_is_heard_or_garbled_however_it_is_cut(
    process: "subprocess.Popen[bytes]", lines: list[bytes], cuts: list[int]
) -> None:
    said = b"".join(lines)
    places = sorted({0, len(said), *(cut for cut in cuts if cut < len(said))})
    parts = [said[start:stop] for start, stop in pairwise(places)]

    heard, garbled = _listen(process, parts)

    good = [_decoded(line) for line in said.split(b"\n")[:-1]]
    if all(good):
        assert (heard, garbled) == (good, None)
    else:
        assert garbled is not None
        assert heard == good[: len(heard)]


def _decoded(line: bytes) -> Any:
    with suppress(ValidationError):
        return decode_up(line)
    return None


def _listen(process: "subprocess.Popen[bytes]", parts: list[bytes]) -> tuple[list[Any], Any]:
    up, theirs = os.pipe()
    assert process.stdin is not None
    trainer, heard = Trainer(process.pid, process.stdin.fileno(), up), []
    try:
        for part in parts:
            os.write(theirs, part)
            heard += trainer.listen(0)
        os.close(theirs)
        while not trainer.silent:
            heard += trainer.listen(0)
    except Garbled as finding:
        os.close(theirs)
        return heard, finding
    finally:
        os.close(up)
    return heard, None
