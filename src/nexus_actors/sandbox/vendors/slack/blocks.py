"""Block Kit: what Slack refuses, and what a person reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final


MAX_BLOCKS: Final = 50
MAX_ID: Final = 255

#: How many characters all blocks of a message may have together.  Slack documents no
#: figure; this is where people have seen it refuse.
MAX_CHARACTERS: Final = 13_200

#: The limits of a text, by the type of the block that it stands in.
MAX_TEXT: Final = {"section": 3000, "header": 150, "markdown": 12_000}

#: How many elements a block may have.
MAX_ELEMENTS: Final = {"actions": 25, "context": 10}
MAX_FIELDS: Final = 10
MAX_FIELD: Final = 2000

TYPES: Final = frozenset(
    (
        *("actions", "context", "divider", "file", "header", "image", "input"),
        *("markdown", "rich_text", "section", "table", "video"),
    )
)


def problems(blocks: list[Any]) -> Iterator[str]:
    """Yield what is wrong, with the place, in Slack's words where they are known."""
    if len(blocks) > MAX_BLOCKS:
        yield f"no more than {MAX_BLOCKS} items allowed [json-pointer:/blocks]"
    seen = set()
    for number, block in enumerate(blocks):
        place = f"/blocks/{number}"
        yield from _block(block, place)
        id_ = block.get("block_id")
        if id_ is not None and (not isinstance(id_, str) or len(id_) > MAX_ID):
            yield f"must be less than {MAX_ID + 1} characters [json-pointer:{place}]"
        elif id_ and id_ in seen:
            yield f"duplicate block_id [json-pointer:{place}/block_id]"
        seen.add(str(id_))


def is_list_of_objects(blocks: Any) -> bool:
    """Tell whether *blocks* can be blocks at all."""
    return isinstance(blocks, list) and all(isinstance(b, dict) for b in blocks)


def characters(node: Any) -> int:
    """Return how long all texts in *node* are together."""
    if isinstance(node, dict):
        own = node.get("text")
        rest = [value for name, value in node.items() if name != "text"]
        return (len(own) if isinstance(own, str) else characters(own)) + sum(
            characters(value) for value in rest
        )
    if isinstance(node, list):
        return sum(characters(item) for item in node)
    return 0


def readable(blocks: list[Any]) -> str:
    """Return what a person reads, without the layout."""
    return "\n\n".join(filter(None, (_readable(block) for block in blocks)))


def _block(block: dict[str, Any], place: str) -> Iterator[str]:
    kind = block.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        yield f"unsupported type: {kind} [json-pointer:{place}/type]"
        return
    text = block.get("text")
    if kind == "section" and text is None and not block.get("fields"):
        yield f"missing required field: text [json-pointer:{place}]"
    if kind in {"header", "markdown"} and text is None:
        yield f"missing required field: text [json-pointer:{place}]"
    if text is not None and kind in MAX_TEXT:
        yield from _text(text, f"{place}/text", kind)
    if kind == "image":
        yield from _image(block, place)
    if kind in {*MAX_ELEMENTS, "rich_text"}:
        yield from _elements(block, place, MAX_ELEMENTS.get(kind))
    if kind == "section":
        yield from _fields(block.get("fields", []), f"{place}/fields")


def _text(text: Any, place: str, kind: str) -> Iterator[str]:
    if kind != "markdown":
        types = {"plain_text"} if kind == "header" else {"plain_text", "mrkdwn"}
        if not isinstance(text, dict) or text.get("type") not in tuple(types):
            yield f"failed to match all allowed schemas [json-pointer:{place}]"
            return
        place, text = f"{place}/text", text.get("text")
    if not isinstance(text, str) or not text:
        yield f"must be more than 0 characters [json-pointer:{place}]"
    elif len(text) > MAX_TEXT[kind]:
        limit = MAX_TEXT[kind] + 1
        yield f"must be less than {limit} characters [json-pointer:{place}]"


def _image(block: dict[str, Any], place: str) -> Iterator[str]:
    if not block.get("alt_text"):
        yield f"missing required field: alt_text [json-pointer:{place}]"
    if not (block.get("image_url") or block.get("slack_file")):
        yield f"missing required field: image_url [json-pointer:{place}]"


def _elements(block: dict[str, Any], place: str, limit: int | None) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not elements:
        yield f"missing required field: elements [json-pointer:{place}]"
    elif limit and len(elements) > limit:
        yield f"no more than {limit} items allowed [json-pointer:{place}/elements]"


def _fields(fields: Any, place: str) -> Iterator[str]:
    if not isinstance(fields, list):
        yield f"must be an array [json-pointer:{place}]"
        return
    if len(fields) > MAX_FIELDS:
        yield f"no more than {MAX_FIELDS} items allowed [json-pointer:{place}]"
    for number, item in enumerate(fields):
        text = item.get("text") if isinstance(item, dict) else None
        if not isinstance(text, str) or not text:
            yield f"must be more than 0 characters [json-pointer:{place}/{number}]"
        elif len(text) > MAX_FIELD:
            where = f"[json-pointer:{place}/{number}]"
            yield f"must be less than {MAX_FIELD + 1} characters {where}"


def _readable(node: Any) -> str:
    if isinstance(node, list):
        return "\n".join(filter(None, (_readable(item) for item in node)))
    if not isinstance(node, dict):
        return ""
    kind, text = node.get("type"), node.get("text")
    if kind == "divider":
        told = "---"
    elif kind == "image":
        told = f"[{node.get('alt_text', 'image')}]"
    elif kind == "button":
        told = f"[{_readable(text)}] {node.get('url') or ''}".rstrip()
    elif isinstance(text, str):
        told = text
    else:
        names = ("text", "title", "fields", "accessory", "elements", "rows")
        told = _readable([node.get(name) for name in names])
    return told
