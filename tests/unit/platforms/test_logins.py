"""What logins ask creators for."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from nexus_actors.platforms.logins import LOGINS
from nexus_actors.sandbox.vendors.instagram import settings as instagram
from nexus_actors.sandbox.vendors.meta import settings as meta
from nexus_actors.sandbox.vendors.tiktok import settings as tiktok
from nexus_actors.sandbox.vendors.youtube import settings as youtube
from nexus_actors.social import begin_login
from publishing import APPS


KNOWN = {
    "facebook": meta.PERMISSIONS,
    "instagram": instagram.PERMISSIONS,
    "tiktok": tiktok.SCOPES,
    "youtube": youtube.SCOPES,
}


@pytest.mark.parametrize("platform", LOGINS)
def test_figures_are_asked_for_where_a_host_wants_them(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in APPS.items():
        monkeypatch.setenv(name, value)

    def asked(*, figures: bool) -> set[str]:
        query = parse_qs(urlsplit(begin_login(platform, figures=figures).url).query)
        separator = LOGINS[platform].separator
        return {*query["scope"][0].split(separator)}

    more = asked(figures=True) - asked(figures=False)

    assert more == {*LOGINS[platform].figures}
    assert more
    assert more <= {*KNOWN[platform]}
