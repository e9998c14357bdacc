"""Settings of the ``dashboard`` command; a host that mounts the page needs none."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from nexus_actors.core.settings import Settings, own


class DashboardSettings(Settings):
    """Read from ``NEXUS_DASHBOARD_*``."""

    host: Annotated[
        str,
        own("DASHBOARD_HOST", "its address; any but loopback needs the password"),
    ] = "127.0.0.1"
    port: Annotated[
        int, own("DASHBOARD_PORT", "its port; 0 is any free one"), Field(ge=0, le=65535)
    ] = 3006
    password: Annotated[
        SecretStr | None,
        own("DASHBOARD_PASSWORD", "asked for by the browser, with any user's name"),
    ] = None
    names: Annotated[
        str,
        own(
            "DASHBOARD_NAMES",
            "names under which browsers reach it beside localhost, comma separated",
        ),
    ] = ""
    read_only: Annotated[
        bool, own("DASHBOARD_READ_ONLY", "it shows everything and changes nothing")
    ] = False
