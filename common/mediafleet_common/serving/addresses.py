"""`HOST:PORT` as people write it on a command line."""

from __future__ import annotations

from mediafleet_common.formats.hosts import unbracketed
from mediafleet_common.serving.run import CannotStartError


def split_host_port(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `:PORT` (all addresses) or `[IPV6]:PORT`.

    Raises:
        CannotStartError: it is not of that form.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise CannotStartError(f"{text!r} is not HOST:PORT")
    return unbracketed(host) or "0.0.0.0", int(port)
