"""Settings: environment, file, default, in this order of precedence.

Every setting is an environment variable `FORNADA_<NAME>` and a key of `config.toml` in the home.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fornada.errors import SettingsError

__all__ = ["Settings", "SettingsError"]

DEFAULT_HOME = Path("~/.fornada")
# A worker that has missed so many beats of upkeep is dead, or as good as.
ALIVE_BEATS = 3
# What keeps a lease beats so often, at least, before it would run out.
BEATS_OF_A_LEASE = 4
DATABASES = ("sqlite", "postgresql")
# Kinds of Redis that both Celery and our own look at it can talk to.
BROKERS = ("redis", "rediss", "redis+socket")
# Variables of ours that are no settings: they steer one process, not the service.
NO_SETTINGS = frozenset({"FORNADA_DEBUG", "FORNADA_TRAINER_COMMAND"})
# What is said for pydantic's words that speak of Python.
EXPECTED = {"path_type": "expected a folder, as text"}


class Settings(BaseSettings):
    """All settings of Fornada. Times in seconds, sizes in bytes.

    With neither a database nor a broker URL the stack is embedded: SQLite and a private Redis
    in the home, any readable folder as data.
    """

    model_config = SettingsConfigDict(
        env_prefix="FORNADA_", env_ignore_empty=True, frozen=True, extra="forbid"
    )

    home: Path = Field(
        DEFAULT_HOME,
        description="Embedded database, packs, artifacts, locks and config.toml, in which it "
        "cannot be set.",
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
        None, description="Folder that all data lie under; default: / when embedded."
    )
    lease_s: float = Field(60.0, gt=0, description="How long an attempt may go unheard of.")
    heartbeat_s: float = Field(
        10.0,
        gt=0,
        description="How often an attempt renews its lease: at most a quarter of that.",
    )
    upkeep_s: float = Field(
        10.0,
        gt=0,
        description="How often upkeep looks at the queue: at most a quarter of the lease as well, "
        "so that an outage is told from a silence.",
    )
    grace_s: float = Field(
        60.0, ge=0, description="How long a trainer may take to stop before it is killed."
    )
    retry_pause_s: float = Field(
        10.0,
        ge=0,
        description="Pause before a job that crashed or was lost runs again; each one is four "
        "times the last, up to ten minutes.",
    )
    state_every_s: float = Field(
        60.0, gt=0, description="How often a trainer saves its state within an epoch."
    )
    state_share: float = Field(
        0.015,
        gt=0,
        le=1,
        description="The share of a training's time that saving its state may take, in epochs of "
        "five seconds and more: a model that takes longer to copy is saved less often than every "
        "epoch, and first when the time so far has paid for it and for the last one. With 1 every "
        "epoch is saved.",
    )
    jobs_per_trainer: int = Field(
        100,
        ge=1,
        description="Jobs that a trainer serves, one after the other, before a new process takes "
        "its place; 1 gives each job a process of its own.",
    )
    max_file_bytes: int = Field(
        256 * 2**30, gt=0, description="The largest file a trainer may write."
    )
    max_memory_bytes: int | None = Field(
        None,
        gt=0,
        description="The memory that a trainer without a GPU may allocate; default: what the "
        "host has.",
    )
    max_processes: int = Field(
        16_384,
        gt=0,
        description="Processes and threads that the trainers' account may have in all; root is "
        "not bound.",
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
        description="What the packs of a home may take together; default: a quarter of its disk.",
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError("\n".join(map(_told, error.errors()))) from None
        except (TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{_file()} is not TOML: {error}") from error
        except OSError as error:
            raise SettingsError(f"{error.filename} cannot be read: {error.strerror}") from error

    @field_validator("broker_url")
    @classmethod
    def _is_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and urlsplit(url.get_secret_value()).scheme not in BROKERS:
            raise ValueError("Input should be like redis://:password@host:6379/0")
        return url

    @field_validator("database_url")
    @classmethod
    def _is_known(cls, url: SecretStr | None) -> SecretStr | None:
        scheme = "" if url is None else urlsplit(url.get_secret_value()).scheme
        if url is not None and scheme.partition("+")[0] not in DATABASES:
            raise ValueError(
                "Input should be like postgresql://user:password@host/database or "
                "sqlite:////folder/file; only sqlite and postgresql are supported"
            )
        return url

    @model_validator(mode="after")
    def _beats_in_time(self) -> Self:
        for name in ("heartbeat_s", "upkeep_s"):
            if getattr(self, name) > self.lease_s / BEATS_OF_A_LEASE:
                raise SettingsError(
                    f"FORNADA_{name.upper()} is {getattr(self, name):g} and FORNADA_LEASE_S "
                    f"{self.lease_s:g}: expected at most a quarter of that, "
                    f"{self.lease_s / BEATS_OF_A_LEASE:g}"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = TomlConfigSettingsSource(settings_cls, _file())
        if "home" in file.toml_data:
            raise SettingsError(
                f"{_file()}: home is no setting of this file, which lies in it; set FORNADA_HOME"
            )
        return init_settings, env_settings, file

    def model_post_init(self, context: Any) -> None:
        object.__setattr__(self, "home", self.home.expanduser().absolute())

    def make_home(self) -> None:
        """Make the folder of the home, where there is none.

        Raises:
            SettingsError: it cannot be made, or is no folder.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"the home {self.home} cannot be made: {error.strerror}. "
                "Set FORNADA_HOME to a folder of yours."
            ) from error

    @property
    def alive_s(self) -> float:
        """How long a worker, which beats with its upkeep, may be silent before it is not alive."""
        return ALIVE_BEATS * self.upkeep_s

    @property
    def embedded(self) -> bool:
        """Whether this machine is the whole stack."""
        return self.database_url is None and self.broker_url is None

    @cached_property
    def artifacts_folder(self) -> Path:
        """Where artifacts lie."""
        return (self.artifacts or self.home / "artifacts").expanduser().absolute()

    @property
    def sql_url(self) -> str:
        """SQLAlchemy URL of the database, its password in it: never print it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home / 'fornada.db'}"

    @property
    def data_root_path(self) -> Path:
        """Folder that every path of a spec must lie under.

        Raises:
            SettingsError: not embedded, and none was set: a server's worker that read any
                folder would read any file for anybody who may submit.
        """
        if self.data_root is not None:
            return self.data_root.expanduser().absolute()
        if self.embedded:
            return Path("/")
        raise SettingsError(
            "FORNADA_DATA_ROOT is not set. With a database or broker URL it must name the folder "
            "that all data lie under, for example FORNADA_DATA_ROOT=/srv/data."
        )


def strangers(environment: Mapping[str, str]) -> list[str]:
    """Variables named as if they were settings, a sentence each, with the nearest that is one."""
    names = {f"FORNADA_{name.upper()}" for name in Settings.model_fields}
    found = (name for name in environment if name.startswith("FORNADA_"))
    return [
        f"{name} is no setting{_nearest(name, names)}"
        for name in sorted(found)
        if name not in names | NO_SETTINGS
    ]


def _file() -> Path:
    home = Path(os.environ.get("FORNADA_HOME") or DEFAULT_HOME)
    return home.expanduser() / "config.toml"


def _told(error: Mapping[str, Any]) -> str:
    """One wrong setting, without its value: that may be a password."""
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f'config.toml: there is no setting "{name}"{_nearest(name, Settings.model_fields)}'
    wanted = str(error["msg"]).partition(", unable to ")[0].removeprefix("Value error, ")
    wanted = EXPECTED.get(error["type"]) or wanted.replace("Input should be", "expected", 1)
    return f"FORNADA_{name.upper()} (or {name} in config.toml): {wanted}"


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
