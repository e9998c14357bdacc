"""Video: a file in; HLS, DASH, MP4, stills and metadata out."""

from .actors import process_video


__all__ = ["process_video"]
