"""Settings: precedence, and what an installation must say before it may read files."""

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from kombu.utils.url import url_to_parts
from redis.connection import parse_url

from fornada import urls
from fornada.settings import (
    Secret,
    Settings,
    SettingsError,
    misspelt_variables,
    unknown_variables,
)
from fornada.stack import broker

URL = "postgresql://ana:s3cret@db/fornada"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("DATABASE_URL", "BROKER_URL", "DATA_ROOT", "ARTIFACTS"):
        monkeypatch.delenv(f"FORNADA_{name}", raising=False)
    monkeypatch.setenv("FORNADA_HOME", str(tmp_path))
    return tmp_path


def test_environment_goes_before_file_and_an_argument_before_both(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.toml").write_text("lease_s = 40\nupkeep_s = 7\nheartbeat_s = 3\n")
    monkeypatch.setenv("FORNADA_UPKEEP_S", "8")
    monkeypatch.setenv("FORNADA_HEARTBEAT_S", "4")
    found = Settings(heartbeat_s=5)
    assert (found.lease_s, found.upkeep_s, found.heartbeat_s) == (40, 8, 5)


def test_embedded_everything_lies_in_the_home_and_data_anywhere(home: Path) -> None:
    found = Settings()
    assert found.embedded
    assert found.sql_url == f"sqlite:///{home}/fornada.db"
    assert found.artifacts_folder == home / "artifacts"
    assert found.data_root_path == Path("/")


def test_a_server_needs_a_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORNADA_DATABASE_URL", URL)
    with pytest.raises(SettingsError, match="FORNADA_DATA_ROOT"):
        _ = Settings().data_root_path
    assert Settings(data_root=Path("/srv/data")).data_root_path == Path("/srv/data")


def test_a_database_without_a_broker_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORNADA_DATABASE_URL", URL)
    with pytest.raises(SettingsError, match="FORNADA_BROKER_URL is not set"):
        broker.broker_url(Settings())


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORNADA_DATABASE_URL", URL)
    assert "s3cret" not in repr(Settings())
    assert "s3cret" in Settings().sql_url


def test_a_wrong_value_is_told_by_its_name_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORNADA_LEASE_S", "s3cret")
    with pytest.raises(SettingsError, match=r"FORNADA_LEASE_S .*: expected a number$") as told:
        Settings()
    assert "s3cret" not in str(told.value)


def test_a_wrong_name_in_the_file_is_told_with_the_nearest(home: Path) -> None:
    (home / "config.toml").write_text("leases_s = 30\n")
    with pytest.raises(SettingsError, match='no setting "leases_s"; did you mean "lease_s"'):
        Settings()
    (home / "config.toml").write_text("lease_s = \n")
    with pytest.raises(SettingsError, match="not TOML"):
        Settings()


def test_a_file_that_cannot_be_read_is_told_with_its_place(home: Path) -> None:
    file = home / "config.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=f"{file} is not TOML"):
        Settings()
    file.write_text("artifacts = 5\n")
    with pytest.raises(SettingsError, match=r"FORNADA_ARTIFACTS .*: expected a folder, as text"):
        Settings()


def test_the_home_cannot_be_set_in_a_file_that_lies_in_it(home: Path) -> None:
    (home / "config.toml").write_text('home = "/srv/f"\n')
    with pytest.raises(SettingsError, match=f"{home}/config.toml: home .* FORNADA_HOME"):
        Settings()


def test_a_lease_is_renewed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORNADA_LEASE_S", "16")
    monkeypatch.setenv("FORNADA_UPKEEP_S", "4")
    with pytest.raises(SettingsError, match=r"FORNADA_HEARTBEAT_S is 10\b"):
        Settings()
    monkeypatch.setenv("FORNADA_HEARTBEAT_S", "4")
    assert Settings().heartbeat_s == 4
    monkeypatch.setenv("FORNADA_UPKEEP_S", "5")
    with pytest.raises(SettingsError, match=r"FORNADA_UPKEEP_S is 5\b"):
        Settings()


def test_a_database_that_is_none_of_ours_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for url in ("mysql://ana:s3cret@db/", "s3cret"):
        monkeypatch.setenv("FORNADA_DATABASE_URL", url)
        with pytest.raises(SettingsError, match=r"FORNADA_DATABASE_URL .*: expected") as told:
            Settings()
        assert "s3cret" not in str(told.value)


def test_an_empty_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name in ("DATABASE_URL", "BROKER_URL", "ARTIFACTS", "LEASE_S"):
        monkeypatch.setenv(f"FORNADA_{name}", "")
    assert Settings().embedded
    monkeypatch.setenv("FORNADA_HOME", "")
    assert Settings().home == Path("~/.fornada").expanduser()


def test_a_broker_that_is_no_redis_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for url in ("amqp://ana:s3cret@mq/", "s3cret"):
        monkeypatch.setenv("FORNADA_BROKER_URL", url)
        with pytest.raises(
            SettingsError, match=r"FORNADA_BROKER_URL .*: expected .*redis://"
        ) as told:
            Settings()
        assert "s3cret" not in str(told.value)


def test_a_home_that_cannot_be_made_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / "file"
    file.write_text("")
    for place in (file, file / "below"):
        monkeypatch.setenv("FORNADA_HOME", str(place))
        with pytest.raises(SettingsError, match=f"{place} .*FORNADA_HOME"):
            Settings().make_home()


def test_variables_that_are_no_settings_are_known() -> None:
    seen = {"FORNADA_LEASE": "5", "FORNADA_HOME": "/", "FORNADA_DEBUG": "1", "HOME": "/"}
    (sentence,) = unknown_variables(seen)
    assert sentence.startswith("FORNADA_LEASE ")
    assert '"FORNADA_LEASE_S"' in sentence


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("FORNADA_LEASE", '"FORNADA_LEASE_S"'),
        ("FORNADA_HOMEE", '"FORNADA_HOME"'),
        ("FORNADA_DATABASE", '"FORNADA_DATABASE_URL"'),
        ("FORNADA_DATAROOT", '"FORNADA_DATA_ROOT"'),
        ("FORNADA_HEARTBEATS_S", '"FORNADA_HEARTBEAT_S"'),
        ("FORNADA_SLOTS", "--slots"),
        ("FORNADA_QUEUES", "--queues"),
    ],
)
def test_a_misspelt_variable_is_told(variable: str, meant: str) -> None:
    (sentence,) = misspelt_variables({variable: "1"})
    assert sentence.startswith(f"{variable} ")
    assert meant in sentence
    assert misspelt_variables({variable: ""}) == []


@pytest.mark.parametrize(
    "variable",
    [
        "FORNADA_HOME",
        "FORNADA_DEBUG",
        "FORNADA_TRAINER_COMMAND",
        # Of docker-compose.yml, of a script in deploy/, and of the tests.
        "FORNADA_DATA",
        "FORNADA_SPECS",
        "FORNADA_FOLDER",
        "FORNADA_TEST_FULL",
        # Of other programs.
        "FORNADA_BACKUP_DIR",
        "FORNADA_HOME_OF_BACKUPS",
        "FORNADA_VERSION",
        "FORNADA_",
        "_FORNADA_COMPLETE",
        "HOMEE",
    ],
)
def test_other_variables_are_not_taken_for_misspelt(variable: str) -> None:
    assert misspelt_variables({variable: "1"}) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xef\xbb\xbflease_s = 40\n", "byte order mark"),
        (b"lease_s = " + b"9" * 5000, "is not TOML"),
        (b"x = " + b"[" * 3000, "is not TOML"),
        (b"\xff\xfel", "is not TOML"),
        ("lease_s = 40\n".encode("utf-16"), "iconv -f UTF-16 -t UTF-8 "),
        ("lease_s = 40\n".encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8 "),
        (b"max_file_bytes = 99999999999999999999", "max_file_bytes"),
        (b"lease_s = true", "LEASE_S .*a number"),
        (b"grace_s = false", "GRACE_S .*a number"),
        (b"jobs_per_trainer = true", "JOBS_PER_TRAINER"),
        (b"data_root = true", "DATA_ROOT"),
        (b"broker_url = 5", "BROKER_URL .*: expected a URL, as text"),
        (b'data_root = "~nobody-here/x"', "DATA_ROOT"),
    ],
)
def test_a_file_of_odd_content_is_refused(home: Path, content: bytes, why: str) -> None:
    (home / "config.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=why):
        Settings()


def test_a_config_that_is_no_file_is_refused(home: Path) -> None:
    file = home / "config.toml"
    file.mkdir()
    with pytest.raises(SettingsError, match="is not a file"):
        Settings()
    file.rmdir()
    for target in ("nowhere", "config.toml"):
        file.symlink_to(home / target)
        with pytest.raises(SettingsError, match="is not a file"):
            Settings()
        file.unlink()
    os.mkfifo(file)
    with pytest.raises(SettingsError, match="is not a file"):
        Settings()


@pytest.mark.parametrize("variable", ["fornada_home", "Fornada_Lease_s"])
def test_a_variable_in_lower_case_is_refused(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "7")
    with pytest.raises(SettingsError, match=f"{variable}: .* {variable.upper()}"):
        Settings()


def test_a_home_of_an_unknown_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORNADA_HOME", "~nobody-here/x")
    with pytest.raises(SettingsError, match="no such user"):
        Settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LEASE_S", "inf", "a number <= 315360000.0"),
        ("LEASE_S", "nan", "a number > 0.0"),
        ("GRACE_S", "-1", "a number >= 0.0"),
        ("STATE_SHARE", "2", "a number <= 1.0"),
        ("JOBS_PER_TRAINER", "0", "an integer >= 1"),
        ("JOBS_PER_TRAINER", "7.5", "an integer"),
        ("MAX_MEMORY_BYTES", "much", "an integer"),
        ("MAX_FILE_BYTES", "9" * 30, "an integer <= 9223372036854775807"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(
    name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"FORNADA_{name}", value)
    with pytest.raises(SettingsError) as refused:
        Settings()
    assert str(refused.value).endswith(f": expected {expected}")


def test_every_wrong_setting_has_its_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "config.toml").write_text("lease = 40\nmax_parameters = true\nartifacts = 5\n")
    monkeypatch.setenv("FORNADA_UPKEEP_S", "30")
    monkeypatch.setenv("FORNADA_BROKER_URL", "amqp://mq")
    with pytest.raises(SettingsError) as refused:
        Settings()
    places = ('setting "lease"', "BROKER_URL", "ARTIFACTS", "MAX_PARAMETERS", "UPKEEP_S is 30")
    lines = str(refused.value).splitlines()
    assert all(place in line for place, line in zip(places, lines, strict=True))


def test_a_setting_that_is_replaced_is_checked_too() -> None:
    changed = replace(Settings(broker_url="redis://:s3cret@mq"), upkeep_s=5)
    assert changed.upkeep_s == 5
    assert changed.broker_url == Secret("redis://:s3cret@mq")
    with pytest.raises(SettingsError, match="UPKEEP_S is 20"):
        replace(changed, upkeep_s=20)


@pytest.mark.parametrize("name", ["DATABASE_URL", "BROKER_URL"])
def test_a_url_that_cannot_be_read_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"FORNADA_{name}", "redis://[s3cret")
    with pytest.raises(SettingsError, match="expected") as refused:
        Settings()
    assert "s3cret" not in str(refused.value)


ODD = "%/?#@[] \té;:+&=a"


@pytest.mark.parametrize("character", "%/?#@[] \t")
@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://ana:s3{}cret@db.example:5432/fornada"),
        ("DATABASE_URL", "postgresql+psycopg://s3{}cret:x@/fornada?host=%2Frun"),
        ("BROKER_URL", "redis://:s3{}cret@redis.example:6379/0"),
        ("BROKER_URL", "rediss://ana:s3{}cret@redis.example"),
        ("BROKER_URL", "redis+socket://:s3{}cret@/run/redis.sock"),
    ],
)
def test_a_password_that_libraries_read_differently_is_refused(
    name: str, url: str, character: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"FORNADA_{name}", url.format(character))
    with pytest.raises(SettingsError, match=f"FORNADA_{name} .*# as %23") as refused:
        Settings()
    assert "s3" not in str(refused.value)
    assert "cret" not in str(refused.value)
    monkeypatch.setenv(f"FORNADA_{name}", url.format(quote(character, safe="")))
    assert Settings()


@pytest.mark.parametrize("name", ["HOME", "ARTIFACTS", "DATABASE_URL", "BROKER_URL"])
def test_a_place_that_is_not_utf_8_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start = {"DATABASE_URL": "postgresql://ana:", "BROKER_URL": "redis://:"}.get(name, "/tmp/")
    monkeypatch.setenv(f"FORNADA_{name}", f"{start}\udcff@host/0")
    with pytest.raises(SettingsError, match=f"FORNADA_{name} .*UTF-8"):
        Settings()


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+socket"])
def test_kombu_and_redis_read_the_password_that_is_meant(scheme: str) -> None:
    password = quote(ODD, safe="")
    place = "/run/a@b c.sock?virtual_host=3" if scheme == "redis+socket" else "host:7000/3"
    given = f"{scheme}://ana:{password}@{place}"
    url = broker.broker_url(Settings(broker_url=given))
    parts = url_to_parts(url.partition("+")[2] or url)
    assert (parts.username, parts.password) == ("ana", ODD)
    assert urls.passwords(url) == {ODD, password}
    found = parse_url(url.replace("redis+socket", "unix"))  # type: ignore[no-untyped-call]
    assert (found["username"], found["password"]) == ("ana", ODD)
    if scheme == "redis+socket":
        assert found["path"] == f"/{parts.path}" == "/run/a@b c.sock"
        assert parts.query == {"virtual_host": "3"}
    else:
        assert (parts.hostname, parts.port, parts.path, found["db"]) == ("host", 7000, "3", 3)


def test_a_password_may_be_an_option_of_the_url() -> None:
    url = broker.broker_url(Settings(broker_url="redis://host?password=a%23b&db=2"))
    assert url == "redis://:a%23b@host:6379/2"


def test_every_problem_of_every_url_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORNADA_DATABASE_URL", "postgresql://ana:s3[cret@db:port/name?x")
    monkeypatch.setenv("FORNADA_BROKER_URL", "redis://:s3cret@host:70000/zero?timeout=3")
    monkeypatch.setenv("FORNADA_LEASE_S", "s3cret")
    with pytest.raises(SettingsError) as refused:
        Settings()
    database, broker_line, lease = str(refused.value).splitlines()
    assert "%5B" in database
    assert "65535" in database
    assert "%3F" in database
    assert "65535" in broker_line
    assert "FORNADA_LEASE_S" in lease
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host/zero",
        "redis://host/0?timeout=3",
        "redis://host/0?ssl_cert_reqs=none",
        "redis+socket:///run/redis.sock?db=one",
        "rediss://host/0?ssl_cert_reqs=maybe",
        "redis://host..example/0",
        "redis://[::1/0",
        "postgresql://host:port/fornada",
        "postgresql://host/fornada#x",
        "sqlite:////srv/why?.db",
    ],
)
def test_a_url_that_a_library_would_not_understand_is_refused(url: str) -> None:
    name = "broker_url" if url.startswith("redis") else "database_url"
    with pytest.raises(SettingsError, match=f"FORNADA_{name.upper()}"):
        Settings(**{name: url})


@pytest.mark.parametrize(
    ("url", "store"),
    [
        (None, "the home {home}"),
        (
            "postgresql://ana:secret@db.example:5432/fornada?sslpassword=secret",
            "the database postgresql://db.example:5432/fornada",
        ),
        ("sqlite:////srv/f.db", "the database sqlite:///srv/f.db"),
    ],
)
def test_the_store_is_named_without_a_password(home: Path, url: str | None, store: str) -> None:
    assert Settings(database_url=url).store.replace("////", "///") == store.format(home=home)
