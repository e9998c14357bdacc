"""How a person leaves a category from within the mail program (RFC 2369, RFC 8058).

The link carries a sealed token: it says who leaves what, and nobody can make or read
one without ``NEXUS_SECRET_KEY``.
"""

from __future__ import annotations

from email.utils import parseaddr
from typing import Any, Final

from nexus_actors.core.errors import ConfigurationError

from .content import Channel
from .errors import SignatureError
from .lists import Preferences, Reason, Suppressions
from .models import keyring_in_use
from .settings import NotificationSettings, page


#: What a token is for; it opens nothing else.
CONTEXT: Final = "unsubscribe"


def leaving(
    settings: NotificationSettings, *, category: str, user_id: str | None, address: str
) -> dict[str, str]:
    """Return the headers of a mail; none if the host has set no way to leave.

    Raises:
        ConfigurationError: There is no key to seal the token with.
    """
    ways, more = [], {}
    if settings.unsubscribe_url:
        who = {"user_id": user_id} if user_id else {"address": address}
        token = _keyring().seal({**who, "category": category}, context=CONTEXT)
        ways.append(f"<{page(settings.unsubscribe_url, token=token)}>")
        more["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if settings.unsubscribe_mailto:
        _, address = parseaddr(settings.unsubscribe_mailto)
        ways.append(f"<mailto:{address}?subject=unsubscribe>")
    return {"List-Unsubscribe": ", ".join(ways), **more} if ways else {}


def unsubscribe(token: str) -> str:
    """Let the person whom a mail went to leave its category; return which.

    Call it where ``NEXUS_UNSUBSCRIBE_URL`` leads, for a POST alone: programs that look
    for malware follow links by GET.  The token comes from the URL, and needs no login.
    Doing it again changes nothing.

    Raises:
        SignatureError: The token is not ours, or not whole: answer 403.
        ConfigurationError: There is no key to open it with.
    """
    from .connect import database

    keyring = _keyring()
    try:
        told: dict[str, Any] = keyring.unseal(token, context=CONTEXT)
        category = str(told["category"])
    except (ConfigurationError, ValueError, LookupError, TypeError) as error:
        raise SignatureError("the token to unsubscribe with is not ours") from error
    if "user_id" in told:
        Preferences(database()).set(
            told["user_id"], category=category, channel=Channel.EMAIL, wanted=False
        )
    else:
        Suppressions(database()).add(
            Channel.EMAIL,
            told["address"],
            Reason.UNSUBSCRIBE,
            source="one-click",
            category=category,
        )
    return category


def _keyring() -> Any:
    keyring = keyring_in_use()
    if keyring is None:
        raise ConfigurationError(
            "NEXUS_UNSUBSCRIBE_URL needs NEXUS_SECRET_KEY, which seals its tokens"
        )
    return keyring
