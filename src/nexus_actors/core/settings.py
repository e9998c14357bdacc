"""Typed settings, read from the environment.

A variable that the original system had keeps its generic name (``LOG_LEVEL``), and
``NEXUS_<NAME>`` wins over it, since a host may use the same name for itself.  What
this library has added is read as ``NEXUS_<NAME>`` alone.  Empty means unset.

Docker and Kubernetes mount secrets as files: ``<VARIABLE>_FILE`` names such a file for
every setting that is a secret.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from .errors import ConfigurationError
from .models import explain


def shared(name: str, description: str) -> Any:
    """Describe a setting read from ``NEXUS_<name>``, else from ``<name>``."""
    return Field(
        validation_alias=AliasChoices(f"NEXUS_{name}", name), description=description
    )


def own(name: str, description: str) -> Any:
    """Describe a setting read from ``NEXUS_<name>`` alone."""
    return Field(validation_alias=f"NEXUS_{name}", description=description)


class Settings(BaseSettings):
    """The base of all settings: frozen, case-sensitive, from the environment."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        case_sensitive=True,
        env_ignore_empty=True,
    )

    @classmethod
    def load(cls, values: Mapping[str, Any] | None = None) -> Self:
        """Read the environment; *values* by field name win over it.

        Raises:
            ConfigurationError: Naming each variable that is malformed, and why; or a
                file that has no secret to read.
        """
        read = cls._read_files(but=values or {}) | dict(values or {})
        # by their variables: by name, a variable such as ``ffmpeg`` would be read, too
        given = {cls._variables(name)[0]: value for name, value in read.items()}
        try:
            return cls(**given)
        except ValidationError as error:
            wrong = {_as_set(name): why for name, why in explain(error).items()}
            text = "; ".join(f"{name}: {reason}" for name, reason in wrong.items())
            raise ConfigurationError(text, variables=wrong) from None
        except SettingsError as error:  # of a field whose value is JSON
            name = _as_set(cls._variables(str(error).split('"')[1])[0])
            reason = f"is no JSON: {error.__cause__}"
            raise ConfigurationError(
                f"{name}: {reason}", variables={name: reason}
            ) from None

    @classmethod
    def _read_files(cls, *, but: Container[str]) -> dict[str, Any]:
        """Return the secrets, by field, that the environment says are in files."""
        return {
            name: _content(variable)
            for name, field in cls.model_fields.items()
            if SecretStr in get_args(field.annotation) and name not in but
            if (variable := _naming_a_file(cls._variables(name)))
        }

    @classmethod
    def _variables(cls, field: str) -> list[str]:
        alias = cls.model_fields[field].validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [alias]
        return [str(name) for name in names]


def _naming_a_file(variables: list[str]) -> str | None:
    """Return what is set to a file's name, unless a value goes before it."""
    for name in variables:
        if os.environ.get(name):
            return None
        if os.environ.get(f"{name}_FILE"):
            return f"{name}_FILE"
    return None


def _content(variable: str) -> str:
    path = os.environ[variable]
    try:
        text = Path(path).read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    except UnicodeDecodeError:
        reason = "is no text"
    else:
        if text:
            return text
        reason = "is empty"
    message = f"{variable}: {path}: {reason}"
    raise ConfigurationError(message, variables={variable: f"{path}: {reason}"})


def _as_set(name: str) -> str:
    """Return the name under which a variable was really set."""
    plain = name.removeprefix("NEXUS_")
    return plain if os.environ.get(plain) and not os.environ.get(name) else name


def default_temp_dir() -> Path:
    """Return a folder of this user's own under the system's temporary folder."""
    return Path(tempfile.gettempdir()) / f"nexus-actors-{os.getuid()}"


def default_state_dir() -> Path:
    """Return the folder of this user that keeps what must outlive a command."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "nexus-actors"


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class CoreSettings(Settings):
    """What more than one domain, or the engine, needs to know."""

    redis_url: Annotated[
        SecretStr | None,
        shared("REDIS_URL", "redis://, rediss://, unix:// or redis+sentinel:// URL"),
    ] = None
    redis_host: Annotated[str, shared("REDIS_HOST", "used without REDIS_URL")] = (
        "127.0.0.1"
    )
    redis_port: Annotated[
        int, shared("REDIS_PORT", "used without REDIS_URL"), Field(ge=1, le=65535)
    ] = 6379
    redis_password: Annotated[
        SecretStr | None, shared("REDIS_PASSWORD", "used without REDIS_URL")
    ] = None
    redis_db: Annotated[
        int, shared("REDIS_DB", "used without REDIS_URL"), Field(ge=0)
    ] = 0
    redis_namespace: Annotated[
        str, own("REDIS_NAMESPACE", "the prefix of all keys")
    ] = "dramatiq"
    database_url: Annotated[
        SecretStr | None,
        shared("DATABASE_URL", "postgresql:// or sqlite:///; by default a SQLite file"),
    ] = None
    sqlite_forced: Annotated[
        bool, own("SQLITE_FORCED", "keep SQLite although Redis is on another host")
    ] = False
    secret_key: Annotated[
        SecretStr | None,
        own("SECRET_KEY", "encrypts credentials; of several, the first encrypts"),
    ] = None
    worker_concurrency: Annotated[
        int | None,
        shared(
            "WORKER_CONCURRENCY",
            "jobs of one kind at once on this host; by default from its cores",
        ),
        Field(ge=1, le=1024),
    ] = None
    max_retries: Annotated[
        int, shared("MAX_RETRIES", "of a job whose failure may pass"), Field(ge=0)
    ] = 3
    backoff_delay: Annotated[
        int,
        shared("BACKOFF_DELAY", "before the first retry, in ms; doubles each time"),
        Field(ge=0),
    ] = 5000
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        BeforeValidator(_upper),  # the original system wrote them small
        shared("LOG_LEVEL", "the least level that is logged"),
    ] = "INFO"
    log_format: Annotated[
        Literal["auto", "json", "console"],
        own("LOG_FORMAT", "auto: coloured on a terminal, else JSON"),
    ] = "auto"
    env: Annotated[
        str, own("ENV", "production, development or test; shown in logs")
    ] = "production"
    temp_dir: Annotated[
        Path,
        shared("TEMP_DIR", "working files; share it to resume on other hosts"),
    ] = Field(default_factory=default_temp_dir)
    storage_url: Annotated[
        str,
        shared(
            "STORAGE_URL", "where outputs go: a folder, file:// or s3://bucket/prefix"
        ),
    ] = "nexus-storage"
    storage_provider: Annotated[
        Literal["local", "s3"] | None,
        shared("STORAGE_PROVIDER", "used without STORAGE_URL"),
    ] = None
    storage_bucket: Annotated[
        str | None,
        shared("STORAGE_BUCKET", "used without STORAGE_URL, by STORAGE_PROVIDER=s3"),
    ] = None
    storage_input_url: Annotated[
        str | None,
        own(
            "STORAGE_INPUT_URL",
            "where inputs may be read from, beside STORAGE_URL; its like",
        ),
    ] = None
    aws_region: Annotated[
        str,
        Field(
            validation_alias=AliasChoices(
                "NEXUS_AWS_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"
            ),
            description="of the buckets",
            pattern=r"^[A-Za-z0-9-]{1,40}$",
        ),
    ] = "us-east-1"
    storage_endpoint: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices(
                "NEXUS_STORAGE_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"
            ),
            description="the server of s3:// URLs, such as MinIO; AWS by default",
        ),
    ] = None
    storage_addressing: Annotated[
        Literal["auto", "path", "virtual"],
        own(
            "STORAGE_ADDRESSING",
            "whether a bucket is a path of the server, or a host; auto: a host of AWS",
        ),
    ] = "auto"
    storage_public_url: Annotated[
        str | None,
        shared("STORAGE_PUBLIC_URL", "what a browser reaches the outputs by"),
    ] = None
    storage_url_ttl_s: Annotated[
        int,
        own("STORAGE_URL_TTL_S", "how long a signed URL of S3 is good; 7 days at most"),
        Field(ge=60, le=7 * 86400),
    ] = 86400
    heartbeat_timeout_s: Annotated[
        float,
        own(
            "HEARTBEAT_TIMEOUT_S",
            "how long a worker may give no sign of life before others take over "
            "what it ran",
        ),
        Field(ge=1, le=3600),
    ] = 20.0
    job_ttl_s: Annotated[
        int, own("JOB_TTL_S", "how long a finished job can be looked up"), Field(gt=0)
    ] = 7 * 86400
    dead_ttl_s: Annotated[
        int, own("DEAD_TTL_S", "how long a dead letter is kept"), Field(gt=0)
    ] = 7 * 86400
    dead_max: Annotated[
        int,
        own("DEAD_MAX", "how many dead letters of one queue are kept, the newest"),
        Field(ge=0),
    ] = 10_000
    exporter_port: Annotated[
        int,
        own("EXPORTER_PORT", "where `nexus-actors exporter` answers"),
        Field(ge=0, le=65535),
    ] = 3005
    health_check_port: Annotated[
        int | None,
        shared(
            "HEALTH_CHECK_PORT",
            "of a worker's /health, /livez, /readyz and /metrics; by default 3000, or "
            "of one domain 3001 (video), 3002 (social), 3003 (analytics), 3004 "
            "(notifications); 0: none",
        ),
        Field(ge=0, le=65535),
    ] = None
    health_check_host: Annotated[
        str,
        shared(
            "HEALTH_CHECK_HOST",
            "the IP address of that port; in a container, 0.0.0.0 or ::",
        ),
        Field(pattern=r"^[0-9A-Fa-f.:]{2,45}$"),  # no name, which may take long to find
    ] = "127.0.0.1"
    hang_timeout_s: Annotated[
        float,
        own(
            "HANG_TIMEOUT_S",
            "how long a worker process may give no sign of life, or one of its idle "
            "threads not come round, before /livez says that it hangs",
        ),
        Field(ge=1, le=3600),
    ] = 30.0
    domains: Annotated[
        str | None,
        own("DOMAINS", "what the worker runs, comma separated; all by default"),
    ] = None
