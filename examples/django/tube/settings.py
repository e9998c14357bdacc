"""Settings of the Django project.  Those of nexus-actors are in the environment."""

from __future__ import annotations

import os
from pathlib import Path


BASE_DIR = Path.cwd()
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only-for-this-example")
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "tube.urls"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "tube",  # nothing of nexus-actors stands here
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tube.middleware.Refusals",
]
TEMPLATES = [
    {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "tube.db"}
}
# Files larger than this go to the disk while they come in.
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024**2
UPLOADS = BASE_DIR / "uploads"

# Where workers put what they make.  In production a web server, or a bucket, serves it.
MEDIA_ROOT = BASE_DIR / os.environ["STORAGE_URL"]
MEDIA_URL = "/media/"
