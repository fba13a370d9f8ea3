"""Homes and passwords with characters that mean something in a URL, on real servers."""

import traceback
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from fornada.db import migrations
from fornada.db.errors import DatabaseUnreachable
from fornada.db.reads import pages
from fornada.db.store.session import Database
from fornada.errors import BrokerUnreachable
from fornada.settings import Settings
from fornada.stack import broker
from fornada.stack.app import App
from tests.servers import PostgresServer, RedisServer
from tests.services import store
from tests.services.tls import HOST, OPENSSL, Authority, TlsFront
from tests.until import until

SECRET = "s3cr3t-w0rd"
ODD = [*"%/?#@[]:;+&= 'é\\", "a", "%41", "%/?#@[]:;+&= 'é\\a"]


@pytest.fixture(autouse=True)
def _embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "BROKER_URL"):
        monkeypatch.delenv(f"FORNADA_{name}", raising=False)


@pytest.mark.parametrize("character", [*"%?#@:;&=+é ", "%41", "?mode=memory"])
def test_each_home_has_a_database_of_its_own(tmp_path: Path, character: str) -> None:
    homes = [tmp_path / f"h{character}{end}" for end in ("one", "two")]
    databases = []
    for home in homes:
        settings = Settings(home=home)
        settings.make_home()
        databases.append(Database(settings.sql_url))
        migrations.prepare(databases[-1], may_upgrade=True)

    store.add(databases[0])

    assert [len(pages.page(database).rows) for database in databases] == [1, 0]
    assert all((home / "fornada.db").is_file() for home in homes)
    assert sorted(tmp_path.iterdir()) == sorted(homes)
    for database in databases:
        database.dispose()


@pytest.mark.parametrize("password", ODD)
def test_redis_takes_a_password_of_any_characters(redis_server: RedisServer, password: str) -> None:
    with redis_server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "odd", "reset", "on", f">{password}", "~*", "+@all"
        )
    where = f"@{redis_server.socket}"
    right, wrong = (quote(text, safe="") for text in (password, f"{password}x"))

    app = broker.make_app(Settings(broker_url=f"redis+socket://odd:{right}{where}"))
    broker.check(app)
    with closing(broker.Publisher(app)) as publisher:
        publisher.publish("odd", None, None)
        assert publisher.queue_length("odd") == 1
    with pytest.raises(BrokerUnreachable) as refused:
        broker.check(broker.make_app(Settings(broker_url=f"redis+socket://odd:{wrong}{where}")))

    assert refused.value.answer == "WRONGPASS"
    assert refused.value.where == f"redis+socket://{redis_server.socket}"
    with redis_server.client() as client:
        client.execute_command("ACL", "DELUSER", "odd")
        client.delete("fornada:odd")


@pytest.mark.parametrize("password", ODD)
def test_postgresql_takes_a_password_of_any_characters(
    postgres_server: PostgresServer, password: str
) -> None:
    literal = password.replace("'", "''")
    postgres_server.execute("DROP ROLE IF EXISTS odd")
    postgres_server.execute(f"CREATE ROLE odd LOGIN PASSWORD '{literal}'")
    plain = postgres_server.url("postgres", "odd", "PLACE")
    in_login = plain.replace("PLACE", quote(password, safe=""))
    as_option = plain.replace(":PLACE", "") + f"&password={quote(password, safe='')}"

    for url in (in_login, as_option):
        database = Database(Settings(database_url=url).sql_url)
        assert migrations.current(database) is None
        database.dispose()

    with pytest.raises(DatabaseUnreachable) as refused:
        migrations.current(Database(in_login.replace("@", "x@")))
    assert "password authentication failed" in refused.value.reason
    assert ":***@" in refused.value.where
    postgres_server.execute("DROP ROLE odd")


def test_a_password_of_one_letter_hides_no_word(postgres_server: PostgresServer) -> None:
    with pytest.raises(DatabaseUnreachable) as refused:
        migrations.current(Database(postgres_server.url("postgres", password="a")))
    assert "password authentication failed" in refused.value.reason
    assert refused.value.where.startswith("postgresql+psycopg://fornada:***@")


def test_an_unknown_option_shows_no_value(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres") + f"&pasword={SECRET}"
    with pytest.raises(DatabaseUnreachable, match="pasword") as refused:
        migrations.current(Database(url))
    assert SECRET not in str(refused.value)


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
@pytest.mark.parametrize(
    ("options", "trusted"),
    [
        ({}, False),
        ({"ssl_cert_reqs": "required"}, False),
        ({"ssl_ca_certs": "CERTIFICATE"}, True),
        ({"ssl_cert_reqs": "none"}, True),
    ],
)
def test_redis_by_tls_must_show_a_certificate_that_is_trusted(
    redis_server: RedisServer, tmp_path: Path, options: dict[str, str], trusted: bool
) -> None:
    authority = Authority(tmp_path, "authority")
    given = {
        name: value.replace("CERTIFICATE", str(authority.file)) for name, value in options.items()
    }
    with closing(TlsFront(redis_server, authority.sign(HOST))) as way:
        app = broker.make_app(Settings(broker_url=way.url(HOST, **given)))
        if trusted:
            broker.check(app)
            return
        with pytest.raises(BrokerUnreachable, match="certificate") as refused:
            broker.check(app)
        assert redis_server.password not in str(refused.value)


def test_a_redis_whose_auth_has_another_name_shows_no_password() -> None:
    with RedisServer() as server:
        server.stop()
        config = server.folder / "redis.conf"
        told = config.read_text()
        renamed = "".join(f'rename-command {name} ""\n' for name in ("AUTH", "HELLO"))
        config.write_text(told + renamed)
        server._spawn()
        app = broker.make_app(Settings(broker_url=server.url))
        refused = until(lambda: _refused(app), 10)
        server.stop()
        config.write_text(told)
        server.start()
    assert refused.answer == "ERR"
    assert server.password not in "".join(traceback.format_exception(refused))


def _refused(app: App) -> BrokerUnreachable | None:
    """The error that Redis answers; None while nobody listens yet."""
    with pytest.raises(BrokerUnreachable) as raised:
        broker.check(app)
    return raised.value if raised.value.answer else None
