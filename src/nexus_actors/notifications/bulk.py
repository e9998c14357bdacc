"""Sends one notification to many, each once, whatever becomes of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    PermanentError,
    Postponed,
    TransientError,
    UnknownOutcomeError,
)

from .models import (
    Delivery,
    Recipient,
    SendBulkRequest,
    SendBulkResult,
    SendNotificationRequest,
    SendNotificationResult,
    Status,
)
from .sending import Sender


def send_bulk(
    sender: Sender,
    request: SendBulkRequest,
    *,
    job_id: str,
    check: Callable[[], None],
    on_progress: Callable[[float], None],
) -> SendBulkResult:
    """Send to each recipient; *check* raises between two if the job must stop.

    Raises:
        Postponed: Some have to wait; the next run sends to them alone.
        TransientError: Some failed; likewise.
        AuthorizationError: The vendor does not know us: nobody else is tried.
        ConfigurationError: A setting is missing; likewise.
    """
    done: list[SendNotificationResult] = []
    waiting: list[NexusError] = []
    for number, person in enumerate(request.recipients):
        check()
        one = request_for(request, person, key=request.idempotency_key or job_id)
        try:
            done.append(sender.send(one, job_id=job_id))
        except (Postponed, TransientError) as error:
            waiting.append(error)
        except (AuthorizationError, ConfigurationError):
            raise  # the others would fail alike; those who were told stay told
        except UnknownOutcomeError as error:
            done.append(_failed(request, "unknown", error))
        except PermanentError as error:
            done.append(_failed(request, "failed", error))
        on_progress((number + 1) / len(request.recipients))
    if waiting:
        raise _soonest(waiting)
    counts = Counter(str(result.status) for result in done)
    return SendBulkResult(counts=dict(counts), recipients=tuple(done))


def request_for(
    request: SendBulkRequest, person: Recipient, *, key: str
) -> SendNotificationRequest:
    """Return what one of the recipients is sent."""
    fields = {name: getattr(person, name) for name in person.model_fields_set}
    shared = {
        name: getattr(request, name)
        for name in ("type", "template", "category", "send_at", "fallback")
    }
    return SendNotificationRequest.model_construct(
        **fields
        | shared
        | {
            "idempotency_key": key,
            "when_unknown": request.when_unknown,
            "template_data": {**request.template_data, **person.template_data},
        }
    )


def _failed(
    request: SendBulkRequest, status: Status, error: NexusError
) -> SendNotificationResult:
    told = Delivery(channel=request.type, status=status, reason=error.code)
    return SendNotificationResult(status=status, deliveries=(told,))


def _soonest(waiting: list[NexusError]) -> NexusError:
    """Return what the queue is told: to wait, or that it failed and is to try again."""
    waits = [error for error in waiting if isinstance(error, Postponed)]
    if len(waits) < len(waiting):
        return next(error for error in waiting if not isinstance(error, Postponed))
    return min(waits, key=lambda error: error.until)
