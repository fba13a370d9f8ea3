"""Settings. The environment wins over `config.toml`, and `config.toml` over the defaults.

Every setting is an environment variable `FORNADA_<NAME>` and a key of `config.toml` in the home.
"""

import codecs
import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from fornada.errors import SettingsError

__all__ = ["Settings", "SettingsError"]

DEFAULT_HOME = Path("~/.fornada")
# A worker that has missed this many heartbeats in a row counts as dead.
_MISSED_HEARTBEATS = 3
# A lease is at least as long as this many heartbeats, so that a late renewal does no harm.
_RENEWALS_PER_LEASE = 4
# The greatest limit that a process can be given (`setrlimit`).
_GREATEST = 2**63 - 1
_DATABASES = ("sqlite", "postgresql")
# URL schemes of Redis that Celery and our own client in `fornada.stack.broker` both support.
_BROKERS = ("redis", "rediss", "redis+socket")
# These variables are not settings: each changes one process, not the service.
_NOT_SETTINGS = frozenset({"FORNADA_DEBUG", "FORNADA_TRAINER_COMMAND"})
# Our text for those errors of pydantic whose own text names Python types, by error type.
_EXPECTED = {"path_type": "expected a folder, as text"}


class Settings(BaseModel):
    """All settings of Fornada. Times are in seconds, sizes in bytes.

    Without a database URL and without a broker URL, the stack is embedded: it uses SQLite and a
    private Redis in the home, and reads images from any readable folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    home: Path = Field(
        DEFAULT_HOME,
        description="Folder of the embedded database, packs, artifacts, locks and config.toml. "
        "config.toml itself cannot set it.",
    )
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the database; default: SQLite in the home."
    )
    broker_url: SecretStr | None = Field(
        None, description="Redis URL of the broker; default: the private Redis of the home."
    )
    artifacts: Path | None = Field(
        None, description="Folder of artifacts, shared by all hosts; default: in the home."
    )
    data_root: Path | None = Field(
        None, description="Folder that holds all data; default: / when embedded."
    )
    lease_s: float = Field(
        60.0,
        gt=0,
        description="How long an attempt holds its lease without renewing it; after that the "
        "attempt counts as lost.",
    )
    heartbeat_s: float = Field(
        10.0,
        gt=0,
        description="How often an attempt renews its lease; at most a quarter of lease_s.",
    )
    upkeep_s: float = Field(
        10.0,
        gt=0,
        description="How often upkeep looks at the queue; at most a quarter of lease_s, so that "
        "upkeep can tell an outage of the database from attempts that went silent.",
    )
    grace_s: float = Field(
        60.0, ge=0, description="How long a trainer may take to stop before it is killed."
    )
    retry_pause_s: float = Field(
        10.0,
        ge=0,
        description="Pause before a job that crashed or was lost runs again. Each further pause "
        "is four times as long, up to ten minutes.",
    )
    state_every_s: float = Field(
        60.0, gt=0, description="How often a trainer saves its state within an epoch."
    )
    state_share: float = Field(
        0.015,
        gt=0,
        le=1,
        description="The share of the training time that saving states may take, for epochs of "
        "five seconds or more. A model whose state takes longer to save is not saved after every "
        "epoch: a save waits until this share of the time so far covers all earlier saves, this "
        "save, and the save at the end. With 1 every epoch is saved.",
    )
    jobs_per_trainer: int = Field(
        100,
        ge=1,
        description="Jobs that one trainer process runs, one after the other, before a new "
        "process replaces it; 1 gives each job its own process.",
    )
    max_file_bytes: int = Field(
        256 * 2**30, gt=0, le=_GREATEST, description="The largest file a trainer may write."
    )
    max_memory_bytes: int | None = Field(
        None,
        gt=0,
        le=_GREATEST,
        description="The memory that a trainer without a GPU may allocate; default: all memory "
        "of the host.",
    )
    max_processes: int = Field(
        16_384,
        gt=0,
        le=_GREATEST,
        description="Processes and threads that the trainers' user account may have in total; "
        "the limit does not apply to root.",
    )
    max_parameters: int = Field(
        1_000_000_000, gt=0, description="The largest model a worker accepts, in parameters."
    )
    max_image_pixels: int = Field(
        100_000_000, gt=0, description="The largest image a trainer decodes, in pixels."
    )
    max_pack_bytes: int | None = Field(
        None,
        ge=0,
        description="Disk space that all packs of a home may take together; default: a quarter "
        "of the disk.",
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**_from_file() | _from_environment() | values)
        except ValidationError as error:
            raise SettingsError("\n".join(map(_described, error.errors()))) from None
        except OSError as error:
            raise SettingsError(f"{error.filename} cannot be read: {error.strerror}") from error

    @field_validator("broker_url")
    @classmethod
    def _require_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and _scheme(url) not in _BROKERS:
            raise ValueError("Input should be like redis://:password@host:6379/0")
        return url

    @field_validator("database_url")
    @classmethod
    def _require_supported_database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and _scheme(url).partition("+")[0] not in _DATABASES:
            raise ValueError(
                "Input should be like postgresql://user:password@host/database or "
                "sqlite:////folder/file; only sqlite and postgresql are supported"
            )
        return url

    @model_validator(mode="after")
    def _require_intervals_within_lease(self) -> Self:
        longest = self.lease_s / _RENEWALS_PER_LEASE
        for name in ("heartbeat_s", "upkeep_s"):
            if getattr(self, name) > longest:
                raise SettingsError(
                    f"FORNADA_{name.upper()} is {getattr(self, name):g}; expected at most "
                    f"{longest:g}, a quarter of FORNADA_LEASE_S, which is {self.lease_s:g}"
                )
        return self

    @field_validator("home", "artifacts", "data_root")
    @classmethod
    def _require_known_user(cls, folder: Path | None) -> Path | None:
        """The folder, absolute, with `~` and `~user` resolved."""
        if folder is None:
            return None
        try:
            return folder.expanduser().absolute()
        except RuntimeError:
            raise ValueError("Input should begin with ~ only for a user of this host") from None

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
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home / 'fornada.db'}"

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


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """One sentence for each `FORNADA_` variable that is not a setting, with the nearest setting."""
    names = _variables()
    found = (name for name in environment if name.startswith("FORNADA_"))
    return [
        f"{name} is not a setting{_nearest(name, names)}"
        for name in sorted(found)
        if name not in names.keys() | _NOT_SETTINGS
    ]


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
    return {f"FORNADA_{name.upper()}": name for name in Settings.model_fields}


def _from_file() -> dict[str, Any]:
    """The settings that `config.toml` gives; none if there is no such file."""
    file = _file()
    if not os.path.lexists(file):
        return {}
    if not file.is_file():
        raise SettingsError(f"{file} is not a file, or a link that leads to none")
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        marked = file.read_bytes().startswith(codecs.BOM_UTF8)
        why = "it begins with a byte order mark; save it as UTF-8 without one" if marked else error
        raise SettingsError(f"{file} is not TOML: {why}") from error
    if "home" in given:
        raise SettingsError(
            f"{file}: home cannot be set in this file, because the file lies in the home; "
            "set FORNADA_HOME"
        )
    return given


def _file() -> Path:
    home = Path(os.environ.get("FORNADA_HOME") or DEFAULT_HOME)
    try:
        return home.expanduser() / "config.toml"
    except RuntimeError:
        raise SettingsError(
            f"FORNADA_HOME: {home} begins with ~, and this host has no such user or no home for it"
        ) from None


def _scheme(url: SecretStr) -> str:
    """The scheme of a URL; empty for a text that is no URL."""
    try:
        return urlsplit(url.get_secret_value()).scheme
    except ValueError:
        return ""


def _described(error: Mapping[str, Any]) -> str:
    """The message for one wrong setting. It leaves out the value, which may be a password."""
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f'config.toml: there is no setting "{name}"{_nearest(name, Settings.model_fields)}'
    wanted = str(error["msg"]).partition(", unable to ")[0].removeprefix("Value error, ")
    wanted = _EXPECTED.get(error["type"]) or wanted.replace("Input should be", "expected", 1)
    return f"FORNADA_{name.upper()} (or {name} in config.toml): {wanted}"


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
