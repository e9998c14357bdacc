"""Actors that are declared on import and wait for their broker."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from importlib import import_module
from queue import Queue
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import dramatiq
from dramatiq import Broker, Message
from dramatiq import broker as dramatiq_broker
from dramatiq.brokers.stub import StubBroker
from dramatiq.common import dq_name
from dramatiq.errors import Retry
from dramatiq.logging import get_logger

from nexus_actors.core import releases
from nexus_actors.core.errors import (
    Cancelled,
    InvalidRequestError,
    MissingExtraError,
    NexusError,
    PermanentError,
    Postponed,
    TransientError,
    UnknownOutcomeError,
    UnsupportedFeatureError,
)

from . import jobs
from .discretion import hide_bodies
from .middleware.retries import wait_ms
from .options import chosen, given
from .protocol import OwnBroker


if TYPE_CHECKING:
    from nexus_actors.core.models import Model
    from nexus_actors.core.settings import CoreSettings


P = ParamSpec("P")
R = TypeVar("R")

_attaching = threading.Lock()


def attached_broker(settings: CoreSettings | None = None) -> Broker:
    """Return the broker that messages go to, without declaring anything on it.

    It is the one that the host has set with `dramatiq.set_broker`; if there is none,
    one is made from *settings* or the environment and set, since dramatiq would
    otherwise fall back to a default of its own.

    Raises:
        ConfigurationError: A setting of the environment is malformed.
    """
    with _attaching:
        if dramatiq_broker.global_broker is None:
            from nexus_actors.core.settings import CoreSettings

            from .broker import RedisBroker

            dramatiq.set_broker(RedisBroker(settings or CoreSettings.load()))
        broker = dramatiq_broker.global_broker
    assert broker is not None  # noqa: S101 - set above
    return broker


class Actor(dramatiq.Actor[P, R]):
    """A dramatiq actor that is declared on a broker only by `setup`.

    Its body is checked against a request model before it is enqueued, and again in
    the worker.  *request* names the model as ``"module:Class"``; it is imported on
    first use, so that importing a domain stays cheap.
    """

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        actor_name: str,
        queue_name: str,
        request: str,
        options: Mapping[str, Any],
    ) -> None:
        # dramatiq's constructor would declare the actor on a broker: not before setup
        self.logger = get_logger(fn.__module__, actor_name)
        self.fn = fn
        self.actor_name = actor_name
        self.queue_name = queue_name
        self.priority = 0
        self.options = dict(options)
        self._request = request
        self._wanted_options = dict(options)
        self._bound: Broker | None = None
        self.__doc__ = fn.__doc__

    @property
    def broker(self) -> Broker:
        """The broker that `setup` has bound, else the one in use."""
        return self._bound or attached_broker()

    @broker.setter
    def broker(self, broker: Broker) -> None:
        self._bound = broker

    def declare_on(self, broker: Broker) -> None:
        """Declare the actor on *broker*, without the options that it does not know."""
        self.options = self._options_for(broker)
        self._bound = broker
        hide_bodies(self.actor_name, self.queue_name)
        if broker.actors.get(self.actor_name) is not self:
            broker.declare_actor(self)

    def unbind(self) -> None:
        """Follow the broker in use again, as before `setup`."""
        self._bound = None

    def send_with_options(  # noqa: PLR0913 - one for each option of ours
        self,
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        delay: int | timedelta | None = None,
        priority: int | None = None,
        group: str | None = None,
        dedupe_key: str | None = None,
        dedupe_for: int | timedelta | None = None,
        find_by: dict[str, str] | None = None,
        track: bool | None = None,
        **options: Any,
    ) -> Message[R]:
        """Send a message with options; ``None`` means the actor's own.

        Args:
            args: Positional arguments of the actor.
            kwargs: Its other arguments.
            delay: How long to wait first; a number is milliseconds.
            priority: From 0, the most urgent, to 9.
            group: Whose message it is: groups of one priority take turns.
            dedupe_key: What no other job of the actor may have at the same time; in
                clear in Redis.
            dedupe_for: For how long that holds, in place of until the job's end; a
                number is milliseconds.
            find_by: By what `jobs.find` finds the job.
            track: Whether it has a record and tells events.
            **options: Of middleware.

        Returns:
            The message; if another job holds its ``dedupe_key``, with that job's id.

        Raises:
            BrokerUnavailable: Redis does not answer; the message may be stored or not.
            InvalidRequestError: Naming each wrong field or option.
            UnsupportedFeatureError: The broker knows nothing of one of *options*.
        """
        own = given(
            priority=priority,
            group=group,
            dedupe_key=dedupe_key,
            dedupe_for=dedupe_for,
            find_by=find_by,
            track=track,
        )
        return super().send_with_options(
            args=args, kwargs=kwargs, delay=delay, **own, **options
        )

    def message_with_options(
        self,
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> Message[R]:
        """Build a message whose body is right in shape.

        Raises:
            InvalidRequestError: Naming each wrong field.
            UnsupportedFeatureError: The broker knows nothing of one of *options*.
        """
        body = self.parse(args, kwargs or {})
        broker = self.broker
        refuse_unknown(options, broker)
        make_room(broker, self.queue_name)
        options |= chosen(options, self._options_for(broker), lambda: body)
        if isinstance(broker, OwnBroker):
            options[releases.NAME] = releases.release()
        return super().message_with_options(kwargs=body, **options)

    def _options_for(self, broker: Broker) -> dict[str, Any]:
        known = broker.actor_options
        wanted = self._wanted_options.items()
        return {name: value for name, value in wanted if name in known}

    def parse(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as plain JSON under their names of today.

        Raises:
            InvalidRequestError: Naming each wrong field.
        """
        try:
            body = {
                **self._signature.bind_partial(*args).arguments,
                **kwargs,
            }
        except TypeError as error:
            first = next(iter(self._signature.parameters), "")
            raise InvalidRequestError(
                f"{self.actor_name}: {error}: give arguments by name, {first}=…"
            ) from None
        request = self._model.parse(body, what=self.actor_name)
        return dump(request)

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.fn)

    @cached_property
    def _model(self) -> Any:
        module, _, name = self._request.partition(":")
        return getattr(import_module(module), name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the actor here; in a worker, the result goes to the job's record."""
        job = jobs.running()
        if job is None or job.actor != self.actor_name:
            return self._run(self.parse(args, kwargs))
        with as_dramatiq_understands(), releases.leaving(job.release):
            body = self.parse(args, kwargs)
            job.stop_if_asked()
            job.result = self._run(body)
        # dramatiq warns of a result that nobody takes
        return job.result if job.hand_on else None  # type: ignore[return-value]

    def _run(self, body: Mapping[str, Any]) -> R:
        """Run the function; a package that we lack is one of the domain's extra."""
        run: Callable[..., R] = self.fn
        try:
            return run(**body)
        except ModuleNotFoundError as error:
            if not is_missed_by_us(error):
                raise
            domain = self.actor_name.partition(".")[0]
            raise MissingExtraError(f"the {domain} domain", domain) from error


def is_missed_by_us(error: ModuleNotFoundError) -> bool:
    """Return whether an import of ours has failed because an extra is not installed.

    An actor also runs what is not ours: a host's resolver, another package's adapter.
    """
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    importer = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    names = (str(importer), error.name or "")
    ours = [name.partition(".")[0] == __name__.partition(".")[0] for name in names]
    return ours == [True, False]


@contextmanager
def as_dramatiq_understands() -> Iterator[None]:
    """Raise dramatiq's `Retry` for what may be run again: any broker then does so.

    Permanent errors pass: actors list them in ``throws``.
    """
    try:
        yield
    except Postponed as error:
        raise Retry(error.message, delay=wait_ms(error)) from error
    except TransientError as error:
        raise Retry(error.message) from error


def dump(request: Model) -> dict[str, Any]:
    """Return a message's body as plain JSON.

    Raises:
        ConfigurationError: A secret cannot be sealed by the key that is set.
    """
    from pydantic_core import PydanticSerializationError

    try:
        return request.model_dump(mode="json", exclude_unset=True)
    except PydanticSerializationError as error:
        if isinstance(error.__cause__, NexusError):  # pydantic wraps what we raise
            raise error.__cause__ from None
        raise


def actor(
    *, queue_name: str, request: str, **options: Any
) -> Callable[[Callable[P, R]], Actor[P, R]]:
    """Make an actor of a function; its name is ``<domain>.<function>``.

    Args:
        queue_name: The queue that carries its messages.
        request: The model of its body, as ``"module:Class"``.
        **options: Of dramatiq's middleware and ours; a broker that does not know one
            does without it.
    """

    def decorate(fn: Callable[P, R]) -> Actor[P, R]:
        domain = fn.__module__.split(".")[1]
        return Actor(
            fn,
            actor_name=f"{domain}.{fn.__name__}",
            queue_name=queue_name,
            request=request,
            options={
                "throws": (PermanentError, UnknownOutcomeError, Cancelled),
                **options,
            },
        )

    return decorate


def refuse_unknown(options: Mapping[str, Any], broker: Broker) -> None:
    """Refuse what a sender asks for and no part of *broker* would act on.

    Raises:
        UnsupportedFeatureError: Naming the options.
    """
    known = broker.actor_options | {"delay"}  # of a step in a pipeline
    unknown = sorted(set(options) - known)
    if unknown:
        kind = f"{type(broker).__module__}.{type(broker).__qualname__}"
        raise UnsupportedFeatureError(f"{kind} has no option {', '.join(unknown)}")


def make_room(broker: Broker, queue_name: str) -> None:
    """Let a `StubBroker` take messages for a queue that nobody has declared on it.

    Declaring would make a running worker consume the queue; every other broker takes
    messages for queues that it does not consume.
    """
    if isinstance(broker, StubBroker):
        for name in (queue_name, dq_name(queue_name)):
            broker.queues.setdefault(name, Queue())
        broker.delay_queues.add(dq_name(queue_name))
