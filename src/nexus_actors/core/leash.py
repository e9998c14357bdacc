"""Child processes that do not outlive the process that has started them."""

from __future__ import annotations

import shutil
import signal
import subprocess
from functools import lru_cache


@lru_cache(maxsize=4)
def leash(number: signal.Signals) -> tuple[str, ...]:
    """Return what to put before a command so that it ends with its parent.

    The kernel sends it signal *number* when the thread that has started it is gone,
    however it went.  Empty where the system has no such thing, as on macOS.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    words = (setpriv, "--pdeathsig", number.name.removeprefix("SIG"), "--")
    # BusyBox has a program of this name without the option
    tried = subprocess.run([*words, "true"], capture_output=True, check=False)  # noqa: S603 - our own words
    return words if tried.returncode == 0 else ()
