"""Settings. The environment wins over `config.toml`, and `config.toml` over the defaults.

Every setting is an environment variable `FORNADA_<NAME>` and a key of `config.toml` in the home.
"""

import codecs
import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Meta

from fornada.db.accounts import owner_of, this_account
from fornada.encodings import not_utf8
from fornada.errors import SettingsError
from fornada.urls import file_problems, problems, redis_problems, scheme

__all__ = ["Secret", "Settings", "SettingsError"]

DEFAULT_HOME = Path("~/.fornada")
# A worker that has missed this many heartbeats in a row counts as dead.
_MISSED_HEARTBEATS = 3
# A lease is at least as long as this many heartbeats, so that a late renewal does no harm.
_RENEWALS_PER_LEASE = 4
# The greatest limit that a process can be given (`setrlimit`).
_GREATEST = 2**63 - 1
# The longest time in seconds: ten years. Python cannot compute with dates that are too far away.
_LONGEST_S = 10 * 365 * 86_400
_DATABASES = ("sqlite", "postgresql")
# URL schemes of Redis that Celery and our own client in `fornada.stack.broker` both support.
_BROKERS = ("redis", "rediss", "redis+socket")
# These variables are not settings: each changes one process, not the service. The later ones are
# read by docker-compose.yml, by a script in deploy/, and by the tests.
_NOT_SETTINGS = frozenset(
    {
        *("FORNADA_DEBUG", "FORNADA_TRAINER_COMMAND"),
        *("FORNADA_DATA", "FORNADA_SPECS", "FORNADA_FOLDER"),
        *("FORNADA_TEST_FULL", "FORNADA_TEST_SEED"),
    }
)
# Options that people may take for settings, because they concern the whole worker.
_OPTIONS = {
    "FORNADA_SLOTS": "--slots of `fornada up` and `fornada worker start`",
    "FORNADA_QUEUES": "--queues of `fornada up` and `fornada worker start`",
}
# How alike two names are at least, without FORNADA_, if one is a misspelling of the other.
_ALIKE = 0.75
# What an error of msgspec calls a kind of value, and what we call it.
_KINDS = {
    "`float`": "a number",
    "`int`": "an integer",
    "`Path`": "a folder, as text",
    "`Secret`": "a URL, as text",
}


class Secret:
    """A text with a password in it. Only `reveal` shows it: neither `str` nor `repr` does."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Never print it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


Seconds = Annotated[float, Meta(gt=0, le=_LONGEST_S)]
Pause = Annotated[float, Meta(ge=0, le=_LONGEST_S)]
Share = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=_GREATEST)]
CountOrZero = Annotated[int, Meta(ge=0, le=_GREATEST)]


@dataclass(frozen=True, init=False)
class Settings:
    """All settings of Fornada. Times are in seconds, sizes in bytes.

    Without a database URL and without a broker URL, the stack is embedded: it uses SQLite and a
    private Redis in the home, and reads images from any readable folder.
    """

    home: Annotated[
        Path,
        Meta(
            description="Folder of the embedded database, packs, artifacts, locks and "
            "config.toml. config.toml itself cannot set it."
        ),
    ] = DEFAULT_HOME
    database_url: Annotated[
        Secret | None,
        Meta(
            description="SQLAlchemy URL of the database; default: SQLite in the home. User name "
            "and password are percent-encoded: # is %23."
        ),
    ] = None
    broker_url: Annotated[
        Secret | None,
        Meta(
            description="Redis URL of the broker; default: the private Redis of the home. User "
            "name and password are percent-encoded: # is %23."
        ),
    ] = None
    artifacts: Annotated[
        Path | None,
        Meta(description="Folder of artifacts, shared by all hosts; default: in the home."),
    ] = None
    data_root: Annotated[
        Path | None,
        Meta(description="Folder that holds all data; default: / when embedded."),
    ] = None
    lease_s: Annotated[
        Seconds,
        Meta(
            description="How long an attempt holds its lease without renewing it; after that "
            "the attempt counts as lost."
        ),
    ] = 60.0
    heartbeat_s: Annotated[
        Seconds,
        Meta(description="How often an attempt renews its lease; at most a quarter of lease_s."),
    ] = 10.0
    upkeep_s: Annotated[
        Seconds,
        Meta(
            description="How often upkeep looks at the queue; at most a quarter of lease_s, so "
            "that upkeep can tell an outage of the database from attempts that went "
            "silent."
        ),
    ] = 10.0
    grace_s: Annotated[
        Pause,
        Meta(description="How long a trainer may take to stop before it is killed."),
    ] = 60.0
    retry_pause_s: Annotated[
        Pause,
        Meta(
            description="Pause before a job that crashed or was lost runs again. Each further "
            "pause is four times as long, up to ten minutes."
        ),
    ] = 10.0
    state_every_s: Annotated[
        Seconds,
        Meta(description="How often a trainer saves its state within an epoch."),
    ] = 60.0
    state_share: Annotated[
        Share,
        Meta(
            description="The share of the training time that saving states may take, for epochs "
            "of five seconds or more. A model whose state takes longer to save is "
            "not saved after every epoch: a save waits until this share of the time "
            "so far covers all earlier saves, this save, and the save at the end. "
            "With 1 every epoch is saved."
        ),
    ] = 0.015
    jobs_per_trainer: Annotated[
        Count,
        Meta(
            description="Jobs that one trainer process runs, one after the other, before a new "
            "process replaces it; 1 gives each job its own process."
        ),
    ] = 100
    max_file_bytes: Annotated[
        Count,
        Meta(description="The largest file a trainer may write."),
    ] = 256 * 2**30
    max_memory_bytes: Annotated[
        Count | None,
        Meta(
            description="The memory that a trainer without a GPU may allocate; default: all "
            "memory of the host. In a control group of its own, also what a trainer with a GPU "
            "and the processes of a trainer may use together."
        ),
    ] = None
    max_processes: Annotated[
        Count,
        Meta(
            description="Processes and threads that the trainers' user account may have in "
            "total; the limit does not apply to root."
        ),
    ] = 16_384
    max_parameters: Annotated[
        Count,
        Meta(description="The largest model a worker accepts, in parameters."),
    ] = 1_000_000_000
    max_image_pixels: Annotated[
        Count,
        Meta(description="The largest image a trainer decodes, in pixels."),
    ] = 100_000_000
    max_pack_bytes: Annotated[
        CountOrZero | None,
        Meta(
            description="Disk space that all packs of a home may take together; default: a "
            "quarter of the disk."
        ),
    ] = None

    def __init__(self, **values: Any) -> None:
        """Read the settings.

        Args:
            values: settings by name. They win over the environment and over `config.toml`.
        Raises:
            SettingsError: holds one line for each setting that cannot be accepted.
        """
        try:
            given = _from_file() | _from_environment() | values
        except OSError as error:
            raise SettingsError(f"{error.filename} cannot be read: {error.strerror}") from error
        accepted, problems = _accepted(given)
        for setting in fields(self):
            object.__setattr__(self, setting.name, accepted.get(setting.name, setting.default))
        problems += self._intervals_beyond_lease()
        if problems:
            raise SettingsError("\n".join(problems))

    def _intervals_beyond_lease(self) -> list[str]:
        longest = self.lease_s / _RENEWALS_PER_LEASE
        return [
            f"FORNADA_{name.upper()} is {getattr(self, name):g}; expected at most {longest:g}, a "
            f"quarter of FORNADA_LEASE_S, which is {self.lease_s:g}"
            for name in ("heartbeat_s", "upkeep_s")
            if getattr(self, name) > longest
        ]

    def make_home(self) -> None:
        """Create the home folder if it does not exist.

        Raises:
            SettingsError: the folder cannot be created, or the path is not a folder.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"the home {self.home} cannot be created: {error.strerror}. "
                "Set FORNADA_HOME to a folder that you may write to."
            ) from error

    @property
    def alive_s(self) -> float:
        """Seconds without a heartbeat after which a worker counts as dead.

        Upkeep sends the worker's heartbeat, so the time is a multiple of `upkeep_s`.
        """
        return _MISSED_HEARTBEATS * self.upkeep_s

    @property
    def embedded(self) -> bool:
        """Whether the whole stack runs on this machine."""
        return self.database_url is None and self.broker_url is None

    @cached_property
    def artifacts_folder(self) -> Path:
        """Absolute path of the artifacts folder."""
        return self.artifacts or self.home / "artifacts"

    @property
    def sql_url(self) -> str:
        """SQLAlchemy URL of the database. It contains the password: never print it."""
        if self.database_url is not None:
            return self.database_url.reveal()
        return f"sqlite:///{quote(str(self.home / 'fornada.db'))}"

    @property
    def store(self) -> str:
        """Where the jobs are recorded, for people: the home, or the database without its user."""
        if self.database_url is None:
            return f"the home {self.home}"
        parts = urlsplit(self.database_url.reveal())
        # Everything before the @ and all of the query may hold a password.
        return f"the database {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def data_root_path(self) -> Path:
        """Folder that must contain every path of a spec.

        Raises:
            SettingsError: the stack is not embedded and `data_root` is not set. There is no
                default, because with `/` anybody who may submit a job could read any file of
                the worker's host.
        """
        if self.data_root is not None:
            return self.data_root
        if self.embedded:
            return Path("/")
        raise SettingsError(
            "FORNADA_DATA_ROOT is not set. With a database or broker URL it must name the folder "
            "that holds all data, for example FORNADA_DATA_ROOT=/srv/data."
        )


def descriptions() -> dict[str, str]:
    """What each setting does, by its name: the texts of docs/settings.md."""
    hints = get_type_hints(Settings, include_extras=True)
    return {name: hints[name].__metadata__[-1].description for name in _names()}


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """One sentence for each `FORNADA_` variable that is not a setting, with the nearest setting."""
    return [f"{name} is not a setting{_meant(name)}" for name in _unknown(environment)]


def misspelt_variables(environment: Mapping[str, str]) -> list[str]:
    """Like `unknown_variables`, but only for those that probably mean a setting or an option.

    Other programs may have variables of their own that begin with `FORNADA_`.
    """
    return [
        f"{name} is not a setting{_meant(name)}" for name in _unknown(environment) if _meant(name)
    ]


def _unknown(environment: Mapping[str, str]) -> list[str]:
    found = (name for name, value in environment.items() if name.startswith("FORNADA_") and value)
    return sorted(set(found) - _variables().keys() - _NOT_SETTINGS)


def _meant(variable: str) -> str:
    """The end of a sentence that names the setting or option which a variable means, or nothing."""
    if option := _OPTIONS.get(variable):
        return f"; use the option {option}"
    bare, names = variable.removeprefix("FORNADA_"), [name.upper() for name in _names()]
    begun = [name for name in names if len(bare) > 2 and name.startswith(bare)]
    near = begun or difflib.get_close_matches(bare, names, n=1, cutoff=_ALIKE)
    return f'; did you mean "FORNADA_{min(near, key=len)}"?' if near else ""


def _from_environment() -> dict[str, str]:
    """The settings that variables give. An empty variable gives none.

    Raises:
        SettingsError: the name of a variable is not in upper case.
    """
    given, names = {}, _variables()
    for variable, value in os.environ.items():
        name = names.get(variable.upper())
        if name is None or not value:
            continue
        if variable not in names:
            raise SettingsError(f"{variable}: write this variable as {variable.upper()}")
        given[name] = value
    return given


def _variables() -> dict[str, str]:
    """The name of each setting, by its variable."""
    return {f"FORNADA_{name.upper()}": name for name in _names()}


def _from_file() -> dict[str, Any]:
    """The settings that `config.toml` gives; none if there is no such file."""
    file = _file()
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as error:
        raise SettingsError(_closed_home(file.parent)) from error
    if not file.is_file():
        raise SettingsError(f"{file} is not a file, or a link that leads to none")
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        content = file.read_bytes()
        marked = content.startswith(codecs.BOM_UTF8)
        why = "it begins with a byte order mark; save it as UTF-8 without one" if marked else error
        why = not_utf8(content, str(file)) or why
        raise SettingsError(f"{file} is not TOML: {why}") from error
    if "home" in given:
        raise SettingsError(
            f"{file}: home cannot be set in this file, because the file lies in the home; "
            "set FORNADA_HOME"
        )
    return given


def _closed_home(home: Path) -> str:
    return (
        f"the home {home} cannot be read: it belongs to {owner_of(home)}, and this command runs "
        f"as {this_account()}. Set FORNADA_HOME to a folder of your own."
    )


def _file() -> Path:
    home = Path(os.environ.get("FORNADA_HOME") or DEFAULT_HOME)
    try:
        return home.expanduser() / "config.toml"
    except RuntimeError:
        raise SettingsError(
            f"FORNADA_HOME: {home} begins with ~, and this host has no such user or no home for it"
            ". Set FORNADA_HOME to a folder."
        ) from None


def _names() -> list[str]:
    """The name of each setting, in the order of the documentation."""
    return [setting.name for setting in fields(Settings)]


def _accepted(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values of the settings that can be accepted, and a line for each of the others."""
    types: dict[str, Any] = {setting.name: setting.type for setting in fields(Settings)}
    accepted: dict[str, Any] = {}
    problems = [
        f'config.toml: there is no setting "{name}"{_nearest(name, types)}'
        for name in sorted(given.keys() - types.keys())
    ]
    given = {"home": DEFAULT_HOME, **given}
    for name, value in ((name, given[name]) for name in types if name in given):
        try:
            # The environment has texts only, so a text is accepted for a number.
            text = name in _CHECKS
            read = msgspec.convert(value, types[name], strict=text, dec_hook=_from_text)
            accepted[name] = _CHECKS[name](read) if text and read is not None else read
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(_described(name, error))
    return accepted, problems


def _from_text(kind: type, value: object) -> object:
    """Make a value of a class that msgspec does not know, from a text."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, str):
        raise msgspec.ValidationError(f"Expected `{kind.__name__}`")
    return kind(value)


def _described(name: str, error: Exception) -> str:
    """The message for one wrong setting. It leaves out the value, which may be a password."""
    # msgspec says "Expected `float`, got `str`" or "Expected `float` <= 1.0".
    wanted = str(error).partition(", got ")[0].replace("Expected", "expected", 1)
    wanted = wanted.replace(" | null`", "`")
    for kind, ours in _KINDS.items():
        wanted = wanted.replace(kind, ours)
    return f"FORNADA_{name.upper()} (or {name} in config.toml): {wanted}"


def _absolute(folder: Path) -> Path:
    """The folder, absolute, with `~` and `~user` resolved."""
    try:
        str(folder).encode()
        return folder.expanduser().absolute()
    except UnicodeEncodeError:
        raise ValueError("expected a folder whose path is UTF-8") from None
    except RuntimeError:
        raise ValueError("expected ~ only for a user of this host") from None


def _redis(url: Secret) -> Secret:
    given = url.reveal()
    if scheme(given) not in _BROKERS:
        raise ValueError("expected like redis://:password@host:6379/0")
    return _readable(url, redis_problems(given))


def _supported_database(url: Secret) -> Secret:
    given = url.reveal()
    dialect = scheme(given).partition("+")[0]
    if dialect not in _DATABASES:
        raise ValueError(
            "expected like postgresql://user:password@host/database or "
            "sqlite:////folder/file; only sqlite and postgresql are supported"
        )
    return _readable(url, (file_problems if dialect == "sqlite" else problems)(given))


def _readable(url: Secret, wrong: Sequence[str]) -> Secret:
    """The URL, unless something is wrong with it."""
    if wrong:
        raise ValueError("expected a URL that can be read: " + "; ".join(wrong))
    return url


# The settings that are texts, with what each must be besides its type.
_CHECKS: Mapping[str, Any] = {
    "home": _absolute,
    "database_url": _supported_database,
    "broker_url": _redis,
    "artifacts": _absolute,
    "data_root": _absolute,
}


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
