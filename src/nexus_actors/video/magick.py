"""A program: reads one picture with ImageMagick, and writes it in other sizes.

It imports nothing of ours, and runs in a process of its own, under limits: what
overcomes the decoder has gained nothing, and what takes too much ends alone.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final


#: What ImageMagick may take; bytes, pixels, seconds.  Nothing goes to the disk.
LIMITS: Final = {
    "memory": 512 << 20,
    "map": 512 << 20,
    "disk": 0,
    "area": 128_000_000,
    "width": 16_000,
    "height": 16_000,
    "time": 60,
    "thread": 1,
}


def main(argument: str) -> None:
    """Print the formats that can be written, or do the job that *argument* tells."""
    if argument == "formats":
        sys.stdout.write(" ".join(filter(can_write, ("jpeg", "webp", "avif"))))
    else:
        write_all(json.loads(argument))


def can_write(kind: str) -> bool:
    """Try it: what is known may need an encoder that is not installed."""
    from wand.exceptions import WandException
    from wand.image import Image

    with Image(width=16, height=16, pseudo="xc:white") as image:
        try:
            return bool(image.make_blob(kind))
        except (WandException, ValueError):  # the latter: not even known
            return False


def write_all(job: dict[str, Any]) -> None:
    """Write each of the stills of *job*, from large to small."""
    from wand.image import Image
    from wand.resource import limits

    for name, value in LIMITS.items():
        limits[name] = value
    largest = job["stills"][0]
    with Image() as image:
        # a decoder that can leave out detail needs no more than twice the size
        hint = f"{2 * largest['width']}x{2 * largest['height']}"
        image.options["jpeg:size"] = hint
        # by its coder: a file name may ask for another one
        image.read(filename=f"{job['coder']}:{job['source']}[0]")
        image.auto_orient()
        profile = image.profiles.get("icc") if image.colorspace != "cmyk" else None
        image.transform_colorspace("srgb")
        image.strip()
        if profile:  # without it, the colours of a phone's picture would be others
            image.profiles["icc"] = profile
        cut(image, largest["width"], largest["height"])
        for still in job["stills"]:
            # each size is made of the one above it
            image.resize(still["width"], still["height"], filter="lanczos")
            with image.clone() as made:
                made.background_color = "white"
                if still["format"] == "jpeg":
                    made.alpha_channel = "remove"
                made.compression_quality = still["quality"]
                made.format = still["format"]
                made.save(filename=f"{still['format']}:{still['path']}")


def cut(image: Any, width: int, height: int) -> None:
    """Cut the middle of *image* in the shape of *width* x *height*."""
    across = min(image.width, max(1, round(image.height * width / height)))
    down = min(image.height, max(1, round(image.width * height / width)))
    image.crop(width=across, height=down, gravity="center")


if __name__ == "__main__":
    main(sys.argv[1])
