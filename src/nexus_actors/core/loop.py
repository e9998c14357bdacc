"""The event loop that a process waits for its stores on, in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
import time
from functools import cache
from typing import Final


#: How long the end of a process waits for the client's threads, in seconds.
SETTLE_S: Final = 2


@cache
def loop_of(_process: int) -> asyncio.AbstractEventLoop:
    """Return the loop that this process waits for its stores on, in a thread."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="nexus-storage", daemon=True).start()
    atexit.register(_settle)
    return loop


def _settle() -> None:
    """Wait at the end of a process until no thread of the store's client is in Python.

    It tells the loop of a result from a thread of its own.  One that is still at it
    while the interpreter ends takes the process down, although all is done.
    """
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        time.sleep(0.01)  # lets them go on
        known = {thread.ident for thread in threading.enumerate()}
        if sys._current_frames().keys() <= known:  # noqa: SLF001 - no public way
            return
