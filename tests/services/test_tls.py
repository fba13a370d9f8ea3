"""PostgreSQL and Redis behind TLS with a private authority: which servers are refused, and how."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from fornada.db import migrations
from fornada.db.errors import DatabaseUnreachable
from fornada.db.store.session import Database
from fornada.db.tls import TlsProblem
from fornada.errors import BrokerUnreachable
from fornada.patience import outage
from fornada.settings import Settings
from fornada.stack import broker
from tests.acceptance.installed import Fornada
from tests.servers import RedisServer
from tests.services.tls import HOST, OPENSSL, Authority, TlsFront, TlsPostgres
from tests.until import until
from tests.worker_process import REPOSITORY, START_S, Site, WorkerProcess

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
OTHER_HOST = "elsewhere.example"
FULL = {"sslmode": "verify-full"}


@dataclass(frozen=True)
class Authorities:
    """The one that signed the servers' certificates, and one that has nothing to do with them."""

    right: Authority
    wrong: Authority


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    folder = tmp_path_factory.mktemp("authorities")
    return Authorities(Authority(folder, "right"), Authority(folder, "wrong"))


@pytest.fixture(scope="module")
def postgres(authorities: Authorities) -> Iterator[TlsPostgres]:
    server = TlsPostgres(authorities.right.sign(HOST))
    if not server.has_tls:
        server.__exit__(None, None, None)
        pytest.skip("this PostgreSQL was made without TLS")
    with server:
        yield server


@pytest.fixture(scope="module")
def redis(authorities: Authorities, redis_server: RedisServer) -> Iterator[TlsFront]:
    with closing(TlsFront(redis_server, authorities.right.sign(HOST))) as front:
        yield front


def database_refused(url: str) -> DatabaseUnreachable:
    database = Database(Settings(database_url=url, broker_url="redis://unused").sql_url)
    with pytest.raises(DatabaseUnreachable) as refused:
        migrations.current(database)
    database.dispose()
    return refused.value


def redis_refused(url: str) -> BrokerUnreachable:
    with pytest.raises(BrokerUnreachable) as refused:
        broker.check(broker.make_app(Settings(broker_url=url)))
    return refused.value


def test_a_client_and_a_worker_trust_the_right_authority(
    authorities: Authorities, postgres: TlsPostgres, redis: TlsFront
) -> None:
    database_url = postgres.address_url(HOST, sslrootcert=str(authorities.right.file), **FULL)
    broker_url = redis.url(HOST, ssl_ca_certs=str(authorities.right.file))
    with Site(database_url, broker_url) as site, site.worker("--slots", "1") as worker:
        fornada = Fornada(
            site.home / "client",
            {
                "FORNADA_DATABASE_URL": database_url,
                "FORNADA_BROKER_URL": broker_url,
                "FORNADA_DATA_ROOT": str(REPOSITORY),
            },
        )
        done = fornada(
            "submit", "-q", "--name", "fine", "--queue", site.queue, "--wait", "specs/digits.yaml"
        )
        assert site.state(int(done.stdout)) == "succeeded"
        assert not done.stderr
        fornada("doctor")
        with postgres.connect() as connection:
            by_tls = connection.execute(
                "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                "WHERE application_name = 'fornada'"
            ).fetchall()
        assert set(by_tls) == {(True,)}
        assert worker.process.poll() is None


@pytest.mark.parametrize(
    ("host", "signer", "problem"),
    [
        (HOST, "wrong", TlsProblem.UNTRUSTED),
        (OTHER_HOST, "right", TlsProblem.NAME),
        (HOST, "missing", TlsProblem.FILE),
    ],
)
def test_a_database_that_is_not_the_right_one_is_refused(
    authorities: Authorities, postgres: TlsPostgres, host: str, signer: str, problem: TlsProblem
) -> None:
    file = Path("/missing.crt") if signer == "missing" else getattr(authorities, signer).file

    refused = database_refused(postgres.address_url(host, sslrootcert=str(file), **FULL))

    assert refused.tls is problem
    for said in (str(refused), outage(refused)):
        assert host in said
        assert "FORNADA_DATABASE_URL" in said
        assert postgres.password not in said


def test_a_database_without_tls_is_refused(authorities: Authorities) -> None:
    with TlsPostgres(None) as server:
        url = server.address_url(HOST, sslrootcert=str(authorities.right.file), **FULL)
        assert database_refused(url).tls is TlsProblem.PLAIN


def test_a_client_without_tls_is_told_what_to_write(postgres: TlsPostgres) -> None:
    refused = database_refused(postgres.address_url(HOST, sslmode="disable"))
    assert refused.tls is TlsProblem.WANTED
    assert "sslmode=verify-full" in refused.todo


@pytest.mark.parametrize(
    ("host", "signer", "problem"),
    [
        (HOST, "wrong", TlsProblem.UNTRUSTED),
        ("127.0.0.1", "right", TlsProblem.NAME),
        (HOST, "missing", TlsProblem.FILE),
    ],
)
def test_a_redis_that_is_not_the_right_one_is_refused(
    authorities: Authorities, redis: TlsFront, host: str, signer: str, problem: TlsProblem
) -> None:
    file = Path("/missing.crt") if signer == "missing" else getattr(authorities, signer).file

    refused = redis_refused(redis.url(host, ssl_ca_certs=str(file)))

    assert refused.tls is problem
    assert host in str(refused)
    assert "FORNADA_BROKER_URL" in str(refused)
    assert redis.password not in str(refused)


def test_a_redis_without_tls_is_refused(
    authorities: Authorities, redis_server: RedisServer
) -> None:
    with closing(TlsFront(redis_server, None)) as plain:
        refused = redis_refused(plain.url(HOST, ssl_ca_certs=str(authorities.right.file)))
    # Whether it answers depends on the random bytes that a client of TLS begins with.
    assert refused.tls in {TlsProblem.PLAIN, TlsProblem.SILENT}


def test_an_expired_certificate_is_refused(tmp_path: Path, redis_server: RedisServer) -> None:
    authority = Authority(tmp_path, "authority")
    with closing(TlsFront(redis_server, authority.sign(HOST, days=-1))) as front:
        refused = redis_refused(front.url(HOST, ssl_ca_certs=str(authority.file)))
    assert refused.tls is TlsProblem.EXPIRED


def test_commands_and_a_worker_say_which_server_they_do_not_trust(
    authorities: Authorities, postgres: TlsPostgres, redis: TlsFront
) -> None:
    right, wrong = authorities.right.file, authorities.wrong.file
    database_urls = [
        postgres.address_url(HOST, sslrootcert=str(file), **FULL) for file in (right, wrong)
    ]
    distrusted = redis.url(HOST, ssl_ca_certs=str(wrong))
    with Site(database_urls[0], distrusted) as site:
        fornada = Fornada(
            site.home / "client",
            {
                "FORNADA_DATABASE_URL": database_urls[1],
                "FORNADA_BROKER_URL": distrusted,
                "FORNADA_DATA_ROOT": str(REPOSITORY),
            },
        )
        assert "sslrootcert" in fornada("ls", code=6).stderr
        findings = fornada("doctor", "--json", code=6).document["findings"]
        todo = {finding["what"]: finding["todo"] for finding in findings}
        assert "sslrootcert" in todo["database"]
        assert "ssl_ca_certs" in todo["broker"]

        waiting = WorkerProcess(
            site, ["--slots", "1"], site.environment(FORNADA_DATABASE_URL=database_urls[1])
        )
        until(lambda: "sslrootcert" in waiting.text(), START_S, saw=waiting.text)
        waiting.stop()

        # Without Redis a worker takes jobs in its rounds of upkeep.
        with site.worker("--slots", "1") as worker:
            until(lambda: "ssl_ca_certs" in worker.text(), START_S, saw=worker.text)
            job = site.add("fine", wake=False)
            assert site.wait(job)["state"] == "succeeded"
