"""Vendors on loopback, for building and testing without an account anywhere.

One server plays every vendor, each below a path of its own (``/webhook/…``), and tells
afterwards what really took effect.  A script of faults disturbs chosen requests before,
during or after they take effect.  What vendors share is in `base`, and what
some of them share in `oauth` (logins), `media` (files), `forms` (bodies) and `window`
(limits); the vendors are modules of `vendors`, the faults are in `faults`, and `app`
brings them together.

It is written from the vendors' documentation and not from what our adapters send, and
imports nothing of ours, so that a mistake of theirs is not repeated here.

To add a vendor, write a module in `vendors` with one subclass of `Vendor` and name it
in `vendors.VENDORS`; the webhook receiver is the pattern.  Faults, clock, request log,
truth, settings, reset and the page come with the base class.  What it tells a host's
own server is sent by `callbacks`, `limits` counts calls, and `shapes` checks JSON.
"""

from __future__ import annotations


try:
    from .app import Sandbox
    from .faults import Fault, read_faults
    from .server import run, running
except ModuleNotFoundError as error:
    if (error.name or "").startswith("nexus_actors"):
        raise
    text = 'nexus_actors.sandbox needs: pip install "nexus-actors[web]"'
    raise ImportError(text) from error


__all__ = ["Fault", "Sandbox", "read_faults", "run", "running"]
