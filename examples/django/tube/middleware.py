"""What every view has in common."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest

from nexus_actors import AuthorizationError, BrokerUnavailable, InvalidRequestError


class Refusals:
    """Answers for views that were refused what they asked for."""

    def __init__(self, view: Callable[[HttpRequest], HttpResponse]) -> None:
        self.view = view

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass a request on."""
        return self.view(request)

    def process_exception(
        self, _request: HttpRequest, error: Exception
    ) -> HttpResponse | None:
        """Answer for a view that has failed."""
        if isinstance(error, BrokerUnavailable):
            # Redis is away; all that is sent here may be sent again
            return HttpResponse("try again", status=503, headers={"Retry-After": "5"})
        if isinstance(error, AuthorizationError | InvalidRequestError):
            # a creator has said no at the platform, or it cannot be right
            return HttpResponseBadRequest(str(error))
        return None
