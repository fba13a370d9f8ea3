"""The broker side of Fornada on a real Redis: what is published, and what happens without one."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kombu.utils.url import url_to_parts

from fornada.errors import BrokerUnreachable, SettingsError
from fornada.settings import Secret, Settings
from fornada.stack import broker
from tests.servers import RedisServer

# Reliability's promise for a submit without Redis.
TOLD_WITHIN_S = 10


@pytest.fixture
def settings(redis_server: RedisServer) -> Settings:
    redis_server.client().flushall()
    return Settings(broker_url=Secret(redis_server.url))


def publisher(settings: Settings) -> broker.Publisher:
    return broker.Publisher(broker.make_app(settings))


@pytest.fixture
def hung(settings: Settings, redis_server: RedisServer) -> Iterator[None]:
    os.kill(redis_server.pid, signal.SIGSTOP)
    yield
    os.kill(redis_server.pid, signal.SIGCONT)


def test_a_wake_up_lies_in_its_own_queue(settings: Settings, redis_server: RedisServer) -> None:
    with closing(publisher(settings)) as one:
        one.publish("gpu", "0199-uid", {"name": "digits"})
        one.publish("gpu", None, None)
        assert one.queue_length("gpu") == 2
        assert one.queue_length("default") == 0
    newest, oldest = redis_server.client().lrange("fornada:gpu", 0, -1)
    assert json.loads(newest)["headers"]["task"] == broker.TASK
    assert json.loads(oldest)["content-type"] == "application/json"


def test_redis_away_is_told_at_once(tmp_path: Path) -> None:
    url = f"redis+socket://:s3cret@{tmp_path}/none.sock"
    begin = time.monotonic()
    with pytest.raises(BrokerUnreachable) as told:
        publisher(Settings(broker_url=Secret(url))).publish("default", None, None)
    assert time.monotonic() - begin < 1
    assert "s3cret" not in str(told.value)


@pytest.mark.usefixtures("hung")
def test_a_hung_redis_is_told_in_time(settings: Settings) -> None:
    begin = time.monotonic()
    with pytest.raises(BrokerUnreachable, match="did not answer"):
        publisher(settings).publish("default", None, None)
    assert time.monotonic() - begin < TOLD_WITHIN_S


def test_a_wrong_password_is_told_without_it(redis_server: RedisServer) -> None:
    url = f"redis+socket://:wr0ng@{redis_server.socket}"
    with pytest.raises(BrokerUnreachable) as told:
        broker.check(broker.make_app(Settings(broker_url=Secret(url))))
    assert "wr0ng" not in str(told.value)


def test_a_variable_of_celery_changes_no_broker(
    settings: Settings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("URL", "READ_URL", "WRITE_URL"):
        monkeypatch.setenv(f"CELERY_BROKER_{name}", f"{redis_server.url}?virtual_host=3")
    app = broker.make_app(settings)
    with closing(publisher(settings)) as one, app.connection_for_read() as reading:
        one.publish("default", None, None)
        assert reading.default_channel.client.llen("default") == 1


def test_a_check_leaves_nothing_behind(settings: Settings, redis_server: RedisServer) -> None:
    broker.check(broker.make_app(settings))
    assert redis_server.client().keys() == []


def test_another_database_of_redis_is_another_broker(
    settings: Settings, redis_server: RedisServer
) -> None:
    second = Settings(broker_url=Secret(f"{redis_server.url}?virtual_host=2"))
    broker.check(broker.make_app(second))
    with closing(publisher(settings)) as one, closing(publisher(second)) as other:
        other.publish("default", None, None)
        assert one.queue_length("default") == 0
        assert other.queue_length("default") == 1


def test_many_wake_ups_take_one_connection(settings: Settings, redis_server: RedisServer) -> None:
    def connections() -> int:
        return int(redis_server.client().info("stats")["total_connections_received"])

    with closing(publisher(settings)) as one:
        one.publish("default", None, None)
        before = connections()
        for _ in range(10):
            one.publish("default", None, None)
        # The one that looks.
        assert connections() == before + 1


def test_a_redis_that_starts_again_is_found_again() -> None:
    with RedisServer() as server, closing(publisher(Settings(broker_url=server.url))) as one:
        one.publish("default", None, None)
        server.stop()
        with pytest.raises(BrokerUnreachable):
            one.publish("default", None, None)
        server.start()
        one.publish("default", None, None)
        server.stop()
        server.start()
        one.publish("default", None, None)
        assert one.queue_length("default") == 1


def test_embedded_socket_is_short_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORNADA_BROKER_URL", raising=False)
    monkeypatch.delenv("FORNADA_DATABASE_URL", raising=False)
    deep = tmp_path / ("deep/" * 30)
    settings = Settings(home=deep)
    socket = broker.socket_path(settings)
    assert len(str(socket)) <= 107
    assert socket.parent.stat().st_mode & 0o077 == 0
    password = broker.password(settings)
    assert len(password) >= 40
    assert broker.password(settings) == password
    assert (deep / "redis.password").stat().st_mode & 0o777 == 0o600


def test_the_embedded_socket_may_be_in_a_folder_with_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BROKER_URL", "DATABASE_URL"):
        monkeypatch.delenv(f"FORNADA_{name}", raising=False)
    runtime = tmp_path / "why? #1 @50%41;é"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    settings = Settings(home=tmp_path / "home")
    parts = url_to_parts(broker.broker_url(settings).partition("+")[2])
    assert f"/{parts.path}" == str(broker.socket_path(settings))
    assert parts.password == broker.password(settings)


def test_a_runtime_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "fornada").mkdir(mode=0o777)
    (tmp_path / "fornada").chmod(0o777)
    with pytest.raises(SettingsError, match="only you can enter"):
        broker.socket_path(Settings(home=tmp_path / "home"))
