"""Small pages on a public port beside gRPC, by HTTP/1.1: one GET, and the connection ends. Pure.

HTTP/1.1: RFC 9112, sections 2 to 6. A request that carries a body is answered by its head alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from mediafleet_common.serving.unary.frames import FloodError

_HEAD_BYTES: Final = 8 * 1024
_END: Final = b"\r\n\r\n"
_READS: Final = (b"GET", b"HEAD")
_ALWAYS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered."""

    status: HTTPStatus
    media: str
    """Its Content-Type."""
    body: bytes

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Those of the answer, in lower case as HTTP/2 wants them."""
        return [
            (b"content-type", self.media.encode()),
            (b"content-length", str(len(self.body)).encode()),
            *_ALWAYS,
        ]


Pages = Callable[[bytes, bytes], Page]
"""The page for a path, without its query, and an Accept header; it must not wait."""
NOT_ALLOWED: Final = Page(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET is answered\n")


def begins_plain(data: bytes) -> bool:
    """Whether a connection whose protocol was not agreed on begins with a request for a page."""
    return data.startswith(_READS)


class PlainRequest:
    """One request, as far as it has come."""

    def __init__(self) -> None:
        self._head = bytearray()

    def take(self, data: bytes, pages: Pages) -> bytes | None:
        """What to answer, whole; `None`: more must come.

        Raises:
            FloodError: its head does not end.
            ValueError: it is no HTTP/1.1.
        """
        looked_at = max(0, len(self._head) - len(_END))
        self._head += data
        end = self._head.find(_END, looked_at)
        if max(end, len(self._head) if end < 0 else 0) > _HEAD_BYTES:
            raise FloodError("the head of a request is too long")
        return None if end < 0 else _answer(bytes(self._head[:end]), pages)


def _answer(head: bytes, pages: Pages) -> bytes:
    first, *lines = head.split(b"\r\n")
    method, target, version = first.split(b" ")
    if not version.startswith(b"HTTP/1."):
        raise ValueError("no HTTP/1.1")
    reads = method in _READS
    page = pages(target.partition(b"?")[0], _accept(lines)) if reads else NOT_ALLOWED
    said = [f"HTTP/1.1 {page.status.value} {page.status.phrase}".encode()]
    said += [b"%b: %b" % each for each in (*page.headers(), (b"connection", b"close"))]
    return b"\r\n".join(said) + _END + (b"" if method == b"HEAD" else page.body)


def _accept(lines: list[bytes]) -> bytes:
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"accept":
            return value.strip()
    return b""
