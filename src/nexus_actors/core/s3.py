"""How a bucket of S3, or of what speaks S3, is reached; and what its errors mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, Self

from .errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    RejectedError,
    RemoteUnavailableError,
    ResourceError,
)
from .settings import CoreSettings


#: How long a connection, and one request with its body, may take, in seconds.  A
#: request has at most `storage.PART_BYTES`.
CONNECT_S: Final = 5
REQUEST_S: Final = 120

#: A request that failed for a reason that may pass is sent again this often, and not
#: after this many seconds; then the job is tried again, later.
RETRIES: Final = 3
RETRY_S: Final = 60

#: As AWS has them, and the underscores and capitals of old ones.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")

#: A name that can be a part of a host's, and that AWS's certificate is good for.
HOST: Final = re.compile(r"[a-z0-9-]+")

#: The URL of a server: a host, a port, a path.
SERVER: Final = re.compile(
    r"https?://([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?"
)

#: What an action is called in a policy.
PERMISSIONS: Final = {
    "read": "s3:GetObject",
    "write": "s3:PutObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}

#: The first says that the server answered, the others what and from where.
STATUS: Final = re.compile(r"status code: (\d{3})")
CODE: Final = re.compile(r"<Code>(\w+)</Code>|\(code: (\w+)\)")
REGION: Final = re.compile(r"<Region>([a-z0-9-]+)</Region>")
ADDRESS: Final = re.compile(r"Error performing [A-Z]+ (\S+)")

#: Where a machine of AWS asks for the credentials of its role.
INSTANCE_ROLE: Final = re.compile(r"/latest/(api/token|meta-data)")

#: Why no answer came, as the client's report names it.
CAUSES: Final = (
    ("dns error", "its name cannot be resolved"),
    ("Connection refused", "the connection is refused"),
    ("certificate", "its certificate is not trusted"),
    ("kind: Timeout", "it does not answer in time"),
    ("TimedOut", "it does not answer in time"),
)

#: Codes of S3 by what there is to do.
BAD_CREDENTIALS: Final = {
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"),
    *("TokenRefreshRequired", "InvalidSecurity", "MissingSecurityHeader"),
}
OTHER_REGION: Final = {
    *("PermanentRedirect", "AuthorizationHeaderMalformed"),
    "IllegalLocationConstraintException",
}
FULL: Final = {
    *("QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"),
    *("InsufficientCapacity", "ServiceQuotaExceededException"),
}

#: Codes and statuses that say "not now".
PASSING_CODES: Final = {
    *("RequestTimeout", "IncompleteBody", "BadDigest", "InvalidPart", "NoSuchUpload"),
    *("InternalError", "ServiceUnavailable", "SlowDown", "OperationAborted"),
}
PASSING: Final = {307, 408, 409, 425, 429}


@dataclass(frozen=True, slots=True)
class Bucket:
    """The part of a bucket that a setting names; keys are below *prefix*.

    Attributes:
        endpoint: Where the server is, if it is not AWS.
        address: What the URLs of its objects begin with.
        variable: The setting that names it, for messages.
    """

    name: str
    prefix: str
    endpoint: str | None
    address: str
    region: str
    virtual: bool
    variable: str

    @classmethod
    def parse(cls, url: str, variable: str, settings: CoreSettings) -> Self:
        """Read ``s3://bucket[/prefix]``; the rest comes from *settings*.

        Raises:
            ConfigurationError: What is set names no bucket, or no server.
        """
        name, _, prefix = url.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/")
        parts = prefix.split("/") if prefix else []
        wrong = {"", ".", ".."} & {*parts} or not prefix.isprintable()
        if not NAME.fullmatch(name) or wrong:
            raise ConfigurationError(
                f"{variable} names no bucket; give s3://bucket/prefix"
            )
        endpoint, region = _endpoint(settings.storage_endpoint), settings.aws_region
        virtual = settings.storage_addressing == "virtual" or (
            settings.storage_addressing == "auto"
            and not endpoint
            and HOST.fullmatch(name) is not None
        )
        server = endpoint or f"https://s3.{region}.amazonaws.com"
        scheme, _, host = server.partition("://")
        address = f"{scheme}://{name}.{host}" if virtual else server
        return cls(name, prefix, endpoint, address, region, virtual, variable)

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    def open(self) -> Any:
        """Return the obstore store; nothing is sent.

        Credentials are those that object_store finds: AWS's variables, a web identity,
        a container's or a machine's role.  It does not read ``~/.aws``.

        Raises:
            ConfigurationError: The credentials are given in half.
        """
        from obstore.exceptions import BaseError
        from obstore.store import S3Store

        try:
            return S3Store(
                self.name,
                prefix=self.prefix or None,
                # by the name that wins over AWS_ENDPOINT_URL_S3 of the environment
                aws_endpoint_url_s3=self.address,
                region=self.region,
                virtual_hosted_style_request=self.virtual,
                client_options={
                    "allow_http": self.address.startswith("http://"),
                    "connect_timeout": timedelta(seconds=CONNECT_S),
                    "timeout": timedelta(seconds=REQUEST_S),
                },
                retry_config={
                    "max_retries": RETRIES,
                    "retry_timeout": timedelta(seconds=RETRY_S),
                    "backoff": {
                        "init_backoff": timedelta(seconds=0.2),
                        "max_backoff": timedelta(seconds=5),
                        "base": 2,
                    },
                },
            )
        except BaseError as error:
            reason = str(error).splitlines()[0].removeprefix("Generic S3 error: ")
            raise ConfigurationError(
                f"the AWS_ variables cannot be used: {reason}; credentials are "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from None


def _endpoint(url: str | None) -> str | None:
    """Return the server's URL, which must be plain."""
    if url is None:
        return None
    if not SERVER.fullmatch(url):  # not shown: it may hold a password
        raise ConfigurationError(
            "NEXUS_STORAGE_ENDPOINT must be the http:// or https:// URL of a server, "
            "such as https://minio.example.com:9000, without a user or a query"
        )
    return url.rstrip("/")


def explain(report: str, bucket: Bucket, action: str) -> NexusError:
    """Return what the client's *report* of a failed *action* means for us.

    Nothing of the report itself is told on: a server's answer and a client's dump hold
    signatures and tokens.
    """
    status = int(found[1]) if (found := STATUS.search(report)) else 0
    code = next(filter(None, found.groups())) if (found := CODE.search(report)) else ""
    address = found[1] if (found := ADDRESS.search(report)) else bucket.address
    if not address.startswith(bucket.address):
        return _without_credentials(address, status)
    if code in FULL or status == HTTPStatus.INSUFFICIENT_STORAGE:
        return ResourceError(
            f"the storage at {bucket} is full; free some space, or raise its quota",
            code="disk_full",
        )
    return (
        _misplaced(report, code, status, bucket)
        or _refused(code, status, bucket, action)
        or _failing(report, code, status, bucket)
    )


def _passes(status: int) -> bool:
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return False
    return status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _without_credentials(address: str, status: int) -> NexusError:
    """Explain why a service that gives credentials, at *address*, gave none."""
    if not _passes(status) and (status or INSTANCE_ROLE.search(address)):
        return AuthorizationError(
            "there are no credentials for S3: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or give this machine a role (~/.aws is not read)",
            code="no_credentials",
        )
    return RemoteUnavailableError(
        "the service that gives this machine its credentials for S3 does not answer",
        code="storage_unavailable",
    )


def _misplaced(
    report: str, code: str, status: int, bucket: Bucket
) -> NexusError | None:
    """Explain an answer that says that the bucket is not there."""
    server = bucket.endpoint or f"AWS, {bucket.region}"
    if code in {"NoSuchBucket", "InvalidBucketName"}:
        return ConfigurationError(
            f"there is no bucket {bucket.name!r} at {server}; "
            f"create it, or correct {bucket.variable}",
            code="no_bucket",
        )
    if (
        code in OTHER_REGION
        or status == HTTPStatus.MOVED_PERMANENTLY
        or "redirect without LOCATION" in report
    ):
        found = REGION.search(report)
        region = found[1] if found else "the bucket's"
        return ConfigurationError(
            f"the bucket {bucket.name!r} is not in the region {bucket.region!r}; "
            f"set AWS_REGION to {region}",
            code="wrong_region",
        )
    return None


def _refused(code: str, status: int, bucket: Bucket, action: str) -> NexusError | None:
    """Explain an answer that says that we may not."""
    if code in BAD_CREDENTIALS or status == HTTPStatus.UNAUTHORIZED:
        return AuthorizationError(
            f"{bucket} does not accept the credentials ({code or status}); correct "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN",
            code="bad_credentials",
        )
    if code == "RequestTimeTooSkewed":
        return ConfigurationError(
            f"{bucket} refuses the time of this machine; run NTP", code="clock"
        )
    if status == HTTPStatus.FORBIDDEN or code == "AccessDenied":
        # without s3:ListBucket, S3 refuses what is not there like what is forbidden
        also = ", and s3:ListBucket to be told what is not there"
        return AuthorizationError(
            f"the credentials may not {action} in {bucket}; "
            f"allow them {PERMISSIONS[action]}{also if action == 'read' else ''}",
            code="access_denied",
        )
    return None


def _failing(report: str, code: str, status: int, bucket: Bucket) -> NexusError:
    """Explain an answer that is none, or that the server can do nothing about."""
    if not status and not code:
        cause = next((said for text, said in CAUSES if text in report), "")
        reason = cause or "the connection broke, or its answer is not that of S3"
        return RemoteUnavailableError(
            f"the storage at {bucket} cannot be reached: {reason}; "
            f"check {bucket.endpoint or 'the network'}",
            code="storage_unavailable",
        )
    if _passes(status) or code in PASSING_CODES:
        return RemoteUnavailableError(
            f"the storage at {bucket} has a fault of its own ({code or status})",
            code="storage_unavailable",
        )
    return RejectedError(
        f"the storage at {bucket} refuses the request ({code or status})",
        code="storage",
    )
