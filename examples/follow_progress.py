"""Follows a job by its events, then reads its record.

python examples/follow_progress.py JOB_ID
"""

from __future__ import annotations

import sys

from nexus_actors import events, jobs


ENDS = {"job.succeeded", "job.dead"}


def main(job_id: str) -> int:
    """Tell what happens to a job until it has ended."""
    for event in events.listen(since="0"):
        if event.job != job_id:
            continue
        if event.name == "job.progress":
            print(f"{event.body['fraction']:4.0%}  {event.body['stage']}")
        else:
            print(event.name)
        if event.name in ENDS:
            break

    record = jobs.get(job_id)
    if record is None or record.error:
        print(record.error["message"] if record and record.error else "not known")
        return 1
    print(record.result["outputs"]["hls"]["master"]["url"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
