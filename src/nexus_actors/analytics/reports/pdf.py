"""A report as a PDF, from its page."""

from __future__ import annotations

import logging
from typing import Any

from nexus_actors.core.errors import MissingExtraError, ResourceError


def pdf(page: str) -> bytes:
    """Return the page as a PDF; nothing is fetched for it.

    Raises:
        MissingExtraError: WeasyPrint, or the library Pango that it needs, is missing.
    """
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except ImportError as error:
        raise MissingExtraError("a report as PDF", "pdf") from error
    except OSError as error:  # of a system without Pango
        raise ResourceError(
            "a report as PDF needs the system library Pango, 1.44 or newer: install "
            "libpango-1.0-0 and libpangoft2-1.0-0 (Debian), or pango (Homebrew)",
            code="no_pango",
        ) from error

    for chatty in ("weasyprint", "weasyprint.progress", "fontTools"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    fetcher: Any = URLFetcher(allowed_protocols={"data"})
    document = HTML(string=page, url_fetcher=fetcher, media_type="print")
    made: bytes = document.write_pdf()
    return made
