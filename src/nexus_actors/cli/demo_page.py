"""The page that the demo leaves behind."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final


#: What is said instead of links to playlists that no player could follow.
PRIVATE: Final = (
    "HLS and DASH are in the bucket, too. It is private: the links of this page are "
    "signed, each for one file and for a while, and what a playlist names is not. "
    "Set <code>STORAGE_PUBLIC_URL</code> to play them."
)

#: Sizes below it are shown in kB.
MEGABYTE: Final = 1_000_000


def write_page(folder: Path, result: dict[str, Any], source_name: str) -> Path:
    """Write ``index.html`` into *folder*, which its links to a folder start from."""
    template = (files("nexus_actors.cli") / "demo_page.html").read_text("utf-8")
    outputs, metadata = result["outputs"], result["metadata"]
    video = metadata["video"]
    private = "storage_not_public" in result["warnings"]
    page = Template(template).substitute(
        title=escape(source_name),
        mp4=escape(outputs["mp4"][0]["url"]),
        hls="" if private else escape(outputs["hls"]["master"]["url"]),
        how="" if private else "Over HTTP, it plays HLS where the browser can.",
        playlists=PRIVATE if private else _playlists(outputs),
        poster=escape((result["poster"] or {}).get("url", "")),
        ratio=f"{video['display_width']} / {video['display_height']}",
        facts=_facts(result),
        renditions=_renditions(outputs),
        thumbnails=_thumbnails(result["thumbnails"]),
        timings=_timings(result["timings"]),
        warnings=_warnings(result["warnings"]),
    )
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def _playlists(outputs: dict[str, Any]) -> str:
    links = {"HLS": outputs["hls"]["master"], "DASH": outputs["dash"]["manifest"]}
    named = [f'<a href="{escape(at["url"])}">{name}</a>' for name, at in links.items()]
    return f"The same segments serve {' and '.join(named)}."


def _facts(result: dict[str, Any]) -> str:
    metadata = result["metadata"]
    video = metadata["video"]
    sound = ", ".join(
        f"{track['codec']} {track['channels']} ch" for track in metadata["audio"]
    )
    facts = {
        "source": f"{video['codec']} in {metadata['container']}",
        "picture": (
            f"{video['display_width']} × {video['display_height']}, "
            f"{video['fps']:g} fps"
        ),
        "sound": sound or "none",
        "length": f"{result['duration']:.2f} s",
        "size": _bytes(metadata["size"]),
    }
    return "".join(
        f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items()
    )


def _renditions(outputs: dict[str, Any]) -> str:
    files_by_name = {item["name"]: item for item in outputs["mp4"]}
    rows = []
    for item in outputs["hls"]["renditions"]:
        file = files_by_name[item["name"]]
        cells = (
            escape(item["name"]),
            f"{item['width']} × {item['height']}",
            f"{item['fps']:g}",
            f"{item['bitrate'] / 1000:,.0f} kb/s",
            escape(item["codecs"]),
            f'<a href="{escape(file["url"])}">MP4, {_bytes(file["size"])}</a>',
        )
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join(rows)


def _thumbnails(thumbnails: list[dict[str, Any]]) -> str:
    return "\n".join(
        f'<figure><img src="{escape(item["url"])}" width="{item["width"]}" '
        f'height="{item["height"]}" alt="Thumbnail, {escape(item["name"])}">'
        f"<figcaption>{escape(item['name'])}, {item['width']} × {item['height']}"
        "</figcaption></figure>"
        for item in thumbnails
    )


def _timings(timings: dict[str, float]) -> str:
    return "".join(
        f"<dt>{escape(step)}</dt><dd>{seconds:.2f} s</dd>"
        for step, seconds in timings.items()
    )


def _warnings(warnings: list[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f"<h2>Warnings</h2><ul>{items}</ul>"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= MEGABYTE else f"{size / 1e3:.0f} kB"
