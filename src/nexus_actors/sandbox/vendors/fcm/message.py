"""The body of ``messages:send``, and what FCM refuses in it.

The shape is that of Google's discovery document; names may be written either way
(``collapseKey``, ``collapse_key``), and values of enumerations in any case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from nexus_actors.sandbox.shapes import Map, Mismatch, Shape, mismatches

from .api import Violation, bad_request, fcm_error, refusal


MAX_BYTES: Final = 4096
MAX_TOPIC_BYTES: Final = 2048
MAX_TOPICS: Final = 5
MAX_TTL_S: Final = 4 * 7 * 86_400

TARGETS: Final = ("token", "topic", "condition", "fid")

TOPIC: Final = re.compile(r"[a-zA-Z0-9-_.~%]{1,900}")
LABEL: Final = re.compile(r"[a-zA-Z0-9-_.~%]{1,50}")
DURATION: Final = re.compile(r"\d{1,12}(\.\d{1,9})?s")
CONDITION: Final = re.compile(
    r"!?\(*\s*'[a-zA-Z0-9-_.~%]+' in topics\s*\)*"
    r"(\s*(&&|\|\|)\s*!?\(*\s*'[a-zA-Z0-9-_.~%]+' in topics\s*\)*)*"
)
RESERVED: Final = re.compile(r"from|message_type|(google|gcm\.notification)\..*")

_DATA: Final = Map(str)
_LABEL: Final[Shape] = {"analytics_label": str}
_COLOR: Final[Shape] = {"red": float, "green": float, "blue": float, "alpha": float}

_NOTIFICATION: Final[dict[str, Shape]] = {
    "title": str,
    "body": str,
    "icon": str,
    "color": str,
    "sound": str,
    "tag": str,
    "click_action": str,
    "body_loc_key": str,
    "body_loc_args": [str],
    "title_loc_key": str,
    "title_loc_args": [str],
    "channel_id": str,
    "ticker": str,
    "sticky": bool,
    "event_time": str,
    "local_only": bool,
    "notification_priority": str,
    "default_sound": bool,
    "default_vibrate_timings": bool,
    "default_light_settings": bool,
    "vibrate_timings": [str],
    "visibility": str,
    "notification_count": int,
    "light_settings": {
        "color": _COLOR,
        "light_on_duration": str,
        "light_off_duration": str,
    },
    "image": str,
}

_ANDROID: Final[dict[str, Shape]] = {
    "collapse_key": str,
    "ttl": str,
    "restricted_package_name": str,
    "data": _DATA,
    "fcm_options": _LABEL,
    "direct_boot_ok": bool,
    "bandwidth_constrained_ok": bool,
    "restricted_satellite_ok": bool,
}

SHAPE: Final[dict[str, Shape]] = {
    "validate_only": bool,
    "message": {
        "name": str,
        "data": _DATA,
        "notification": {"title": str, "body": str, "image": str},
        "android": {
            **_ANDROID,
            "priority": str,
            "notification": {
                **_NOTIFICATION,
                "proxy": str,
                "bypass_proxy_notification": bool,
            },
        },
        "android_v2": {
            **_ANDROID,
            "background_sync": {},
            "remote_notification": {
                "mutable_content": bool,
                "use_as_v1_data_message": bool,
                "notification": {**_NOTIFICATION, "id": int},
            },
        },
        "webpush": {
            "headers": Map(str),
            "data": _DATA,
            "notification": Map(object),
            "fcm_options": {"link": str, "analytics_label": str},
        },
        "apns": {
            "headers": Map(str),
            "payload": Map(object),
            "fcm_options": {"analytics_label": str, "image": str},
            "live_activity_token": str,
        },
        "fcm_options": _LABEL,
        "token": str,
        "topic": str,
        "condition": str,
        "fid": str,
    },
}

#: The values that a field may have, by its name.
VALUES: Final = {
    "priority": {"NORMAL", "HIGH"},
    "visibility": {"VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"},
    "proxy": {"PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"},
    "notification_priority": {
        "PRIORITY_UNSPECIFIED",
        "PRIORITY_MIN",
        "PRIORITY_LOW",
        "PRIORITY_DEFAULT",
        "PRIORITY_HIGH",
        "PRIORITY_MAX",
    },
}


def checked(body: Any) -> dict[str, Any]:
    """Return the body with the names of the protocol (``collapse_key``).

    Raises:
        Refusal: It is not a message that FCM takes.
    """
    request = _folded(body, SHAPE)
    wrong = [_told(found, request) for found in mismatches(request, SHAPE)]
    if wrong:
        raise refusal(400, "\n".join(t for _, t in wrong), bad_request(*wrong))
    message = request.get("message", {})
    _check_target(message)
    _check_size(message)
    for field, text in _violations(message):
        raise refusal(
            400, text, bad_request((field, text)), fcm_error("INVALID_ARGUMENT")
        )
    checked_request: dict[str, Any] = request
    return checked_request


def target_of(message: dict[str, Any]) -> tuple[str, str]:
    """Return the kind of the target, and the target."""
    return next((name, message[name]) for name in TARGETS if message.get(name))


# the shape


def _folded(value: Any, shape: Shape | None) -> Any:
    """Return *value* with the protocol's names, and without what is null."""
    if isinstance(shape, dict) and isinstance(value, dict):
        snake = {
            re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", name): inner
            for name, inner in value.items()
        }
        return {
            name: _folded(inner, shape.get(name))
            for name, inner in snake.items()
            if inner is not None
        }
    if isinstance(shape, list) and isinstance(value, list):
        return [_folded(inner, shape[0]) for inner in value]
    return value


def _told(found: Mismatch, request: Any) -> Violation:
    if found.expected is None:
        place, name = _place(request, found.path[:-1]), found.path[-1]
        where = f" at '{place}'" if place else ""
        text = (
            f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot '
            "find field."
        )
        return place, text
    place = _place(request, found.path)
    kind = {"string": "TYPE_STRING", "boolean": "TYPE_BOOL", "integer": "TYPE_INT32"}
    given = json.dumps(found.given)[:100]
    text = f"Invalid value at '{place}' ({kind.get(found.expected, 'TYPE_MESSAGE')})"
    return place, f"{text}, {given}"


def _place(request: Any, path: tuple[str | int, ...]) -> str:
    """Return a path as Google writes it; entries of a map are counted."""
    told, value = "", request
    shape: Any = SHAPE
    for name in path:
        if isinstance(shape, Map):
            told += f"[{list(value).index(name)}].value"
            shape = shape.values
        elif isinstance(name, int):
            told += f"[{name}]"
            shape = shape[0]
        else:
            told += f".{name}" if told else name
            shape = shape.get(name)
        value = value[name]
    return told


# the content


def _check_target(message: dict[str, Any]) -> None:
    given = [name for name in TARGETS if message.get(name)]
    if not given:
        text = "Recipient of the message is not set."
        raise refusal(
            400, text, bad_request(("message", text)), fcm_error("INVALID_ARGUMENT")
        )
    if len(given) > 1:
        text = (
            "Invalid value at 'message' (oneof), oneof field 'target' is already set. "
            f"Cannot set '{given[1]}'"
        )
        raise refusal(400, text, bad_request(("message", text)))
    if "condition" in given and not _is_condition(message["condition"]):
        raise refusal(400, "Request contains an invalid argument.")


def _is_condition(text: str) -> bool:
    return (
        len(text) <= MAX_BYTES
        and text.count("(") == text.count(")")
        and text.count(" in topics") <= MAX_TOPICS
        and bool(CONDITION.fullmatch(text))
    )


def _check_size(message: dict[str, Any]) -> None:
    to_topic = target_of(message)[0] in {"topic", "condition"}
    limit = MAX_TOPIC_BYTES if to_topic else MAX_BYTES
    if size(message) > limit:
        text = f"Message is too large. The maximum is {limit // 1024}K ({limit} bytes)."
        raise refusal(400, text, bad_request(), fcm_error("INVALID_ARGUMENT"))


def size(message: dict[str, Any]) -> int:
    """Return how many bytes reach the device: on the platform with the most."""
    sizes = []
    for name in ("android", "webpush", "apns"):
        platform = message.get(name, {})
        parts = {
            **message.get("notification", {}),
            **platform.get("notification", {}),
            **(platform.get("data") or message.get("data", {})),
            **platform.get("payload", {}),
        }
        sizes.append(sum(_bytes(name) + _bytes(part) for name, part in parts.items()))
    return max(sizes)


def _bytes(value: Any) -> int:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return len(text.encode())


def _violations(message: dict[str, Any]) -> Iterator[Violation]:
    if "topic" in message and not TOPIC.fullmatch(message["topic"]):
        yield "message", "Topic name contains invalid characters."
    if "android" in message and "android_v2" in message:
        yield "message.android_v2", "Only one of android and android_v2 may be set."
    yield from _data(message)
    for name in ("android", "android_v2"):
        yield from _values(f"message.{name}", message.get(name, {}))
    yield from _labels(message)
    yield from _webpush(message.get("webpush", {}))
    yield from _apns(message)


def _data(message: dict[str, Any]) -> Iterator[Violation]:
    places = {"message": message}
    for name in ("android", "android_v2", "webpush"):
        places[f"message.{name}"] = message.get(name, {})
    for place, holder in places.items():
        for key in holder.get("data", {}):
            if RESERVED.fullmatch(key):
                yield f"{place}.data", f"Invalid data payload key: {key}"


def _values(place: str, node: dict[str, Any]) -> Iterator[Violation]:
    """Check durations and enumerations, wherever they stand."""
    for name, value in node.items():
        field = f"{place}.{name}"
        if isinstance(value, dict) and name != "data":
            yield from _values(field, value)
        elif name in VALUES and value.upper() not in VALUES[name]:
            kind = f"google.firebase.fcm.v1.{name}"
            text = f"Invalid value at '{field}' (type.googleapis.com/{kind})"
            yield field, f'{text}, "{value}"'
        elif name == "ttl" or name.endswith("_duration"):
            yield from _duration(field, value)


def _duration(field: str, value: str) -> Iterator[Violation]:
    if not DURATION.fullmatch(value):
        kind = "type.googleapis.com/google.protobuf.Duration"
        yield field, f"Invalid value at '{field}' ({kind}), \"{value}\""
    elif field.endswith(".ttl") and float(value[:-1]) > MAX_TTL_S:
        yield field, f"The ttl must be at most {MAX_TTL_S} seconds."


def _labels(message: dict[str, Any]) -> Iterator[Violation]:
    places = {"message": message}
    for name in ("android", "android_v2", "webpush", "apns"):
        places[f"message.{name}"] = message.get(name, {})
    for place, holder in places.items():
        label = holder.get("fcm_options", {}).get("analytics_label", "x")
        if not LABEL.fullmatch(label):
            field = f"{place}.fcm_options.analytics_label"
            yield field, "The analytics label is malformed."


def _webpush(webpush: dict[str, Any]) -> Iterator[Violation]:
    for name, value in webpush.get("headers", {}).items():
        if name.lower() == "ttl" and not (value.isascii() and value.isdigit()):
            field = f"message.webpush.headers.{name}"
            yield field, "TTL must be a non-negative integer."
    link = webpush.get("fcm_options", {}).get("link", "https://")
    if not link.startswith("https://"):
        yield "message.webpush.fcm_options.link", "The link must be an HTTPS URL."


def _apns(message: dict[str, Any]) -> Iterator[Violation]:
    """Refuse a push without an alert that is to be delivered at once."""
    apns = message.get("apns", {})
    headers = {name.lower(): value for name, value in apns.get("headers", {}).items()}
    aps = apns.get("payload", {}).get("aps", {})
    shown = {"alert", "badge", "sound"} & set(aps if isinstance(aps, dict) else ())
    if (
        headers.get("apns-priority") == "10"
        and not shown
        and "notification" not in message
    ):
        field = "message.apns.headers.apns-priority"
        yield field, "apns-priority must be 5 for messages of data only."
