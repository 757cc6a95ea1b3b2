"""Why a Redis cannot be used, in one sentence with the fix. Pure.

Nothing of a URL is repeated: what stands in it may be a password that was not encoded.
"""

from __future__ import annotations

import re
import ssl
from typing import Final
from urllib.parse import urlsplit

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_SCHEMES: Final = ("redis", "rediss", "unix")
_ENCODE: Final = (
    "percent-encode user and password in it (/ is %2F, @ is %40, # is %23, ? is %3F, : is %3A, "
    "% is %25), or leave the password to MEDIAFLEET_REDIS_PASSWORD"
)
_PATH: Final = re.compile(r"/?[0-9]{0,4}")


def of_url_problem(url: str, password: str | None) -> str | None:
    """What is wrong with `--redis`; `None`: it can be tried."""
    if password is not None and not _is_text(password):
        return "MEDIAFLEET_REDIS_PASSWORD is not UTF-8"
    if not _is_text(url) or not url.isprintable():
        return "the URL holds characters that no URL has"
    if url.partition("://")[0] not in _SCHEMES:
        return "write redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return f"the URL cannot be read: {_ENCODE}"
    # An unencoded / ? or # ends the host early, and the rest of the password stands behind it.
    if "@" in f"{parts.path}{parts.query}{parts.fragment}" or "@" in (parts.password or ""):
        return f"the URL cannot be read: {_ENCODE}"
    if parts.scheme == "unix":
        return None
    if parts.fragment or not _PATH.fullmatch(parts.path) or port == 0:
        return f"the URL cannot be read: write redis://HOST:PORT/DB, and {_ENCODE}"
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def why_not(error: Exception, db: int) -> str | None:
    """Why a Redis never will be reached this way; `None`: it may yet be."""
    tls = _tls_error(error)
    if tls is not None:
        return _of_tls(tls)
    text = str(error)
    if "DB index is out of range" in text:
        return f"it has no database {db}: choose a smaller db, or raise its setting `databases`"
    if isinstance(error, (AuthenticationError, AuthorizationError)):
        return f"it refuses user and password: {text}"
    if isinstance(error, (BusyLoadingError, ClusterDownError)):
        return None
    if isinstance(error, (RedisConnectionError, RedisTimeoutError)):
        return "it refuses user and password" if "auth" in type(error).__name__.lower() else None
    if isinstance(error, ResponseError) and text.startswith(("LOADING", "MASTERDOWN", "TRYAGAIN")):
        return None
    return text if isinstance(error, RedisError) else None


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    for _ in range(8):
        if error is None or isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _of_tls(error: ssl.SSLError) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or "it cannot be verified"
        return f"its certificate is not accepted ({why}): name its authority in tls.ca_cert_file"
    # Others may be those of a server that is starting or stopping.
    return NO_TLS if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE") else None


NO_TLS: Final = (
    "it does not speak TLS there: set tls.enabled and use_tls to false (redis:// in a URL), or "
    "name its TLS port"
)
