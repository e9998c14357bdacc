"""Sends one video and prints the id of its job.

python examples/send_video.py /path/to/video.mp4
"""

from __future__ import annotations

import sys

from nexus_actors.video import process_video


def main(path: str) -> None:
    """Enqueue the video at *path*."""
    message = process_video.send(
        video_id="video-123",
        input_path=path,
        user_id="user-456",
        options={"formats": ["hls", "mp4"], "watermark": True, "thumbnails": True},
    )
    print(message.message_id)


if __name__ == "__main__":
    main(sys.argv[1])
