"""Social: a video, pictures or a text in; one post on a platform out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_actors.core.lazy import lazy_names

from .actors import (
    cancel_post,
    publish_post,
    refresh_credentials,
    reschedule_post,
    resume_publication,
    sweep_credentials,
    sweep_publications,
)


if TYPE_CHECKING:
    from nexus_actors.platforms.login import Start

    from .accounts import begin_login, disconnect, finish_login
    from .base import Publisher, publishers
    from .models import Caption, Content, Credentials, PostSettings, PublishPostRequest
    from .publications import Publications
    from .row import Phase, Publication, State
    from .run import Access, Found, Outcome, Part, Run
    from .settings import SocialSettings
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            ".accounts": ("begin_login", "disconnect", "finish_login"),
            ".base": ("Publisher", "publishers"),
            ".models": (
                "Caption",
                "Content",
                "Credentials",
                "PostSettings",
                "PublishPostRequest",
            ),
            ".publications": ("Publications",),
            ".row": ("Phase", "Publication", "State"),
            ".run": ("Access", "Found", "Outcome", "Part", "Run"),
            ".settings": ("SocialSettings",),
            "nexus_actors.platforms.login": ("Start",),
        },
    )


__all__ = [
    "Access",
    "Caption",
    "Content",
    "Credentials",
    "Found",
    "Outcome",
    "Part",
    "Phase",
    "PostSettings",
    "Publication",
    "Publications",
    "PublishPostRequest",
    "Publisher",
    "Run",
    "SocialSettings",
    "Start",
    "State",
    "begin_login",
    "cancel_post",
    "disconnect",
    "finish_login",
    "publish_post",
    "publishers",
    "refresh_credentials",
    "reschedule_post",
    "resume_publication",
    "sweep_credentials",
    "sweep_publications",
]
