"""Importing costs a host nearly nothing."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

import nexus_actors


#: Packages that only the work itself may load.
HEAVY = (
    *("wand", "ffmpeg", "obstore", "imageio_ffmpeg", "sqlalchemy", "alembic", "numpy"),
    *("sendgrid", "twilio", "firebase_admin", "slack_sdk", "cryptography", "requests"),
    *("jinja2", "css_inline", "google"),
    *("pika", "starlette", "uvicorn", "click", "prometheus_client"),
)

SPY = """
import sys, site, sysconfig
import dramatiq, pydantic
before = set(sys.modules)
seen = []
def watch(event, arguments):
    if event == "socket.connect" or event == "open" and isinstance(arguments[0], str):
        seen.append((event, str(arguments[0])))
sys.addaudithook(watch)
class Environ(dict):
    def __getitem__(self, name): asked.append(name); return super().__getitem__(name)
    def get(self, name, *more): asked.append(name); return super().get(name, *more)
    def __contains__(self, name): asked.append(name); return super().__contains__(name)
    def __iter__(self): asked.append("all"); return super().__iter__()
asked = []
import os
os.environ = Environ(os.environ)
import nexus_actors, nexus_actors.analytics, nexus_actors.notifications
import nexus_actors.social, nexus_actors.video
print("loaded", *sorted({name.split(".")[0] for name in sys.modules}))
for event, what in seen:
    print("seen", event, what)
print("asked", *asked)
"""


def spied() -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", SPY], capture_output=True, text=True, check=True
    )
    told: dict[str, list[str]] = {"loaded": [], "seen": [], "asked": []}
    for line in done.stdout.splitlines():
        kind, *rest = line.split(" ")
        told[kind] += rest if kind != "seen" else [" ".join(rest)]
    return told


def test_importing_a_domain_loads_no_sdk_touches_nothing_and_asks_nothing() -> None:
    told = spied()

    assert not set(told["loaded"]) & set(HEAVY)
    places = (sys.prefix, sys.base_prefix, str(Path(nexus_actors.__file__).parent))
    strange = [
        what
        for what in told["seen"]
        if not what.removeprefix("open ").startswith(places)
    ]
    assert not strange
    ours = ("NEXUS_", "REDIS_", "STORAGE_", "WORKER_", "TEMP_DIR", "LOG_", "all")
    assert not [name for name in told["asked"] if name.startswith(ours)]


def cpu_s(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_importing_a_domain_costs_little_more_than_what_it_stands_on() -> None:
    ours: list[float] = []
    base: list[float] = []
    for _ in range(9):  # by turns: both feel the same load of the machine
        ours.append(cpu_s("import nexus_actors.notifications, nexus_actors.video"))
        base.append(cpu_s("import dramatiq, pydantic"))

    assert median(ours) <= 1.5 * median(base), (median(ours), median(base))
