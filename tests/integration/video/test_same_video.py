"""The same video twice is one job; its user takes turns with others."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_actors import RedisBroker, jobs
from nexus_actors.video import process_video


def test_a_video_that_is_queued_is_one_job_and_can_be_found(
    broker: RedisBroker,
) -> None:
    body: Any = {"video_id": "v", "input_path": "/v.mp4"}
    first = process_video.send(**body, user_id="u")

    assert process_video.send(**body).message_id == first.message_id
    other = process_video.send(**body | {"video_id": "w"}, user_id="u")
    assert other.message_id != first.message_id
    assert [job.id for job in jobs.find(video_id="v")] == [first.message_id]
    assert jobs.find(video_id="unknown") == []
    assert broker.client.llen("dramatiq:video-processing.g5:u") == 2

    process_video.send(video_id="x", input_path="/v.mp4", user_id="")
    assert broker.client.llen("dramatiq:video-processing") == 1

    broker.client.delete("dramatiq:video-processing.msgs")
    second = process_video.send(**body)

    found = [job.id for job in jobs.find(video_id="v")]
    assert found == [second.message_id, first.message_id]
    kept_ms: Any = broker.client.pttl("dramatiq:__find__:video_id:v")
    assert kept_ms > 29 * 86_400_000
    with pytest.raises(TypeError, match="one name"):
        jobs.find()
