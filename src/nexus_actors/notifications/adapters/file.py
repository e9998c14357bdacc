"""Files in place of a vendor, for development: one for each delivery, in a folder.

Mails become ``.eml`` files, which every mail program opens; all else is JSON.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import datetime
from email.message import EmailMessage
from email.utils import formataddr
from pathlib import Path
from typing import Any, ClassVar, Self

from nexus_actors.core.errors import RemoteUnavailableError
from nexus_actors.notifications.base import Provider, Receipt
from nexus_actors.notifications.content import Channel, Content, Mail, WebhookMessage
from nexus_actors.notifications.settings import FileSettings


class FileProvider(Provider[Content]):
    name: ClassVar[str] = "file"
    channels: ClassVar[frozenset[Channel]] = frozenset(Channel)
    can_find: ClassVar[bool] = True
    #: A repeated delivery writes the same file.
    knows_repeats: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def connect(cls) -> Self:
        return cls(FileSettings.load().notifications_folder)

    def deliver(self, content: Content, *, delivery_id: str) -> Receipt:
        path = self._path(content, delivery_id)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(_written(content))
            draft.replace(path)
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise RemoteUnavailableError(
                f"file: cannot write to {self._folder}: {reason}"
            ) from error
        return Receipt(provider_id=path.name)

    def find(
        self, content: Content, *, delivery_id: str, since: datetime
    ) -> Receipt | None:
        del since
        path = self._path(content, delivery_id)
        return Receipt(provider_id=path.name) if path.exists() else None

    def _path(self, content: Content, delivery_id: str) -> Path:
        ending = "eml" if isinstance(content, Mail) else "json"
        return self._folder / f"{delivery_id}.{ending}"


def _written(content: Content) -> bytes:
    if isinstance(content, Mail):
        return _mail(content).as_bytes()
    told: dict[str, Any] = {"kind": type(content).__name__, **asdict(content)}
    if isinstance(content, WebhookMessage):
        del told["keys"]
    text = json.dumps(told, default=str, ensure_ascii=False, indent=2)
    return text.encode(errors="replace")  # of half a character


def _mail(mail: Mail) -> EmailMessage:
    message = EmailMessage()
    message["From"] = mail.sender
    message["To"] = formataddr((mail.to_name or "", mail.to))
    message["Subject"] = mail.subject
    if mail.reply_to:
        message["Reply-To"] = mail.reply_to
    for name, value in mail.headers.items():
        message[name] = value
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    return message
