"""Upload, progress, posts and reports.

What is sent because of a row is sent when the row is there: `transaction.on_commit`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    JsonResponse,
)
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from nexus_actors import jobs
from nexus_actors.analytics import collect_metrics, generate_report
from nexus_actors.social import Start, begin_login, finish_login, publish_post
from nexus_actors.video import process_video

from .models import Account, Video


def current_user(_request: HttpRequest) -> AbstractBaseUser:
    """Return who asks.  Put your login here: `request.user`."""
    model = get_user_model()
    return model.objects.get_or_create(username="ann", email="ann@example.com")[0]


def upload(request: HttpRequest) -> HttpResponse:
    """Show the form, and take what it sends.

    The form brings the video's id, so that one that is sent twice is one video.
    """
    if request.method != "POST":
        return render(request, "upload.html", {"id": uuid4()})
    user, file = current_user(request), request.FILES["file"]
    new = {"owner": user, "title": request.POST["title"][:100]}
    video, _ = Video.objects.get_or_create(id=request.POST["id"], defaults=new)
    if video.owner_id != user.pk:
        raise Http404
    store(file, path_of(video))
    with transaction.atomic():
        video.title = new["title"]
        video.save()
        transaction.on_commit(lambda: enqueue(video))
    return redirect(f"/videos/{video.id}")


def path_of(video: Video) -> Path:
    """Return where an upload is kept."""
    return Path(settings.UPLOADS) / str(video.id)


def store(file: UploadedFile, path: Path) -> None:
    """Write an upload to its place, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f"{uuid4()}.part")
    try:
        with part.open("wb") as target:
            target.writelines(file.chunks())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def enqueue(video: Video) -> None:
    """Send the job; one that is queued or running for this video is not sent twice."""
    message = process_video.send(
        video_id=str(video.id),
        input_path=str(path_of(video)),
        title=video.title,
        user_id=str(video.owner_id),
    )
    Video.objects.filter(id=video.id).update(job=message.message_id)


@require_GET
def show(request: HttpRequest, video_id: UUID) -> HttpResponse:
    """Show a video, or how far it is."""
    video = get_object_or_404(Video, id=video_id, owner=current_user(request))
    return render(request, "video.html", {"video": video})


@require_GET
def state(request: HttpRequest, video_id: UUID) -> JsonResponse:
    """Tell the page, which asks again and again, how far a video is."""
    video = get_object_or_404(Video, id=video_id, owner=current_user(request))
    record = jobs.get(video.job) if video.job else None
    told = {name: getattr(video, name) for name in ("state", "url", "post_url", "job")}
    return JsonResponse({**told, "progress": record.progress if record else None})


@require_POST
def post(request: HttpRequest, video_id: UUID, platform: str) -> HttpResponse:
    """Publish a video on a platform, once however often this is asked for."""
    user = current_user(request)
    video = get_object_or_404(Video, id=video_id, owner=user)
    account = Account.objects.filter(owner=user, platform=platform).first()
    if account is None:
        return redirect(f"/connect/{platform}")
    publish_post.send(
        platform=platform,
        account=account.account,
        content={"video_id": str(video.id), "title": video.title},
        settings={"privacy": "PUBLIC"},
        idempotency_key=str(video.id),
    )
    return redirect(f"/videos/{video.id}")


def connect(request: HttpRequest, platform: str) -> HttpResponse:
    """Send the creator to the platform, to let us post for them."""
    begun = begin_login(platform)
    request.session["login"] = [platform, asdict(begun)]
    return redirect(begun.url)


def connected(request: HttpRequest) -> HttpResponse:
    """Take the creator back, with the account that they chose."""
    if "login" not in request.session:
        return HttpResponseBadRequest("this login was not begun here")
    platform, begun = request.session.pop("login")
    url = request.build_absolute_uri()
    with transaction.atomic():
        for found in finish_login(platform, url, Start(**begun)):
            Account.objects.update_or_create(
                owner=current_user(request),
                platform=platform,
                defaults={"account": found.account},
            )
            watch = {"platform": platform, "account": found.account, "watch": True}
            transaction.on_commit(lambda watch=watch: collect_metrics.send(**watch))
    return redirect("/")


@require_POST
def report(request: HttpRequest, platform: str) -> HttpResponse:
    """Have the last week's report of an account made."""
    user = current_user(request)
    account = get_object_or_404(Account, owner=user, platform=platform)
    message = generate_report.send(
        platform=platform, account=account.account, user_id=str(user.pk)
    )
    return redirect(f"/report/{message.message_id}")


@require_GET
def show_report(_request: HttpRequest, job: str) -> HttpResponse:
    """Lead to a report when it is there."""
    record = jobs.get(job)
    if record is None or record.state in {"dead", "cancelled"}:
        raise Http404
    if record.result is None:
        return HttpResponse("not yet", status=202, headers={"Refresh": "1"})
    return redirect(record.result["url"])
