"""What the settings say of the places that outputs go to, before one is opened."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from .errors import ConfigurationError
from .settings import CoreSettings
from .urls import path_of


def output_url(settings: CoreSettings) -> str:
    """Return where outputs go: a folder, or a ``file://`` or ``s3://`` URL.

    Raises:
        ConfigurationError: The variables of the original system do not go together.
    """
    provider, bucket = settings.storage_provider, settings.storage_bucket
    if "storage_url" in settings.model_fields_set or provider == "local":
        return settings.storage_url
    if provider and not bucket:
        raise ConfigurationError(
            "STORAGE_PROVIDER is s3, and STORAGE_BUCKET is not set; set it, or "
            "STORAGE_URL=s3://bucket/prefix instead of both"
        )
    if bucket and not provider:
        raise ConfigurationError(
            "STORAGE_BUCKET is set, and neither STORAGE_URL nor STORAGE_PROVIDER; "
            "set STORAGE_PROVIDER=s3, or unset it"
        )
    return f"s3://{bucket}" if bucket else settings.storage_url


def unusable(root: Path, reason: str) -> ConfigurationError:
    """Return the error for a folder that outputs cannot go to."""
    return ConfigurationError(
        f"cannot store outputs in {root}: {reason}; "
        "set STORAGE_URL to a folder that this user may write"
    )


def folder_of(url: str, variable: str) -> Path:
    """Return the folder that *url* names, which the setting *variable* holds.

    Raises:
        ConfigurationError: It names none.
    """
    if "://" not in url:
        return Path(url).expanduser().absolute()
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise ConfigurationError(
            f"{variable}: {parts.scheme}:// is not supported; "
            "give a folder, a file:// URL, or s3://bucket/prefix"
        )
    if parts.netloc not in {"", "localhost"} or not parts.path.strip("/"):
        raise ConfigurationError(
            f"{variable}: {url} names no folder of this machine; "
            "give a folder, or file:///path/to/folder"
        )
    return path_of(url)
