"""Which text a gateway takes for a URL, and where it then dials.

Gateways are written in Go: what net/url's Parse refuses is skipped, anything else is dialled by its
host (livepeer/go-livepeer discovery/discovery.go, server/rpc.go startOrchestratorClient). That is
more lenient than `parse_node_url`, which says what we would list ourselves.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from mediafleet_common.formats.node_url import NodeUrl

_DEFAULT_PORT: Final = 443
"""gRPC's, whatever the scheme."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_USERINFO: Final = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:<>\"-]|[^\x00-\x7f]|%25|%[89A-Fa-f].)*")
_IN_BRACKETS: Final = re.compile(r"\[(?:[^\[\]%]|%25|%[89A-Fa-f].)*\](?P<port>:[0-9]*)?")


class NotAUrlError(ValueError):
    """Go's url.Parse refuses it; the text says why."""


def gateway_url(url: str) -> NodeUrl | None:
    """`gateway_target`, and `None` where it refuses."""
    try:
        return gateway_target(url)
    except NotAUrlError:
        return None


def gateway_target(url: str) -> NodeUrl | None:
    """Where a gateway dials for `url`; `None` when it takes it for a URL and can dial nothing.

    Raises:
        NotAUrlError: a gateway skips such an entry.
    """
    scheme, authority = _parts(url)
    before, _, fragment = url.partition("#")
    # Go decodes all but the query.
    if _BAD_ESCAPE.search(before.partition("?")[0]) or _BAD_ESCAPE.search(fragment):
        raise NotAUrlError("it holds a % that escapes nothing")
    if authority is None:
        return None
    userinfo, _, text = authority.rpartition("@")
    if _USERINFO.fullmatch(userinfo) is None:
        raise NotAUrlError("what stands before its @ holds characters that a user has not")
    host, port = _host_and_port(text)
    # Escapes of ASCII were refused; the others are decoded before the name is looked up.
    host = unquote(host)
    number = int(port[:6]) if port else _DEFAULT_PORT
    if not host or not 0 < number < 65536:
        return None
    return NodeUrl("http" if scheme == "http" else "https", host, number)


def _parts(url: str) -> tuple[str, str | None]:
    """Scheme and authority; no authority where Go's parser finds none."""
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in url):
        raise NotAUrlError("it holds control characters")
    rest = re.split("[#?]", url, maxsplit=1)[0]
    if rest.startswith(":"):
        raise NotAUrlError("it has no scheme before the colon")
    found = _SCHEME.match(rest)
    scheme = ""
    if found and rest[found.end() : found.end() + 1] == ":":
        scheme, rest = found[0].lower(), rest[found.end() + 1 :]
    elif ":" in rest.partition("/")[0]:
        raise NotAUrlError("it has no scheme, and a colon")
    if not rest.startswith("//") or (not scheme and rest.startswith("///")):
        return scheme, None
    return scheme, rest[2:].partition("/")[0]


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        found = _IN_BRACKETS.fullmatch(text)
        if found is None:
            raise NotAUrlError("its address in brackets does not end, or its port is no number")
        return text[1 : text.index("]")], (found["port"] or "")[1:]
    if _HOST.fullmatch(text) is None:
        raise NotAUrlError("its host holds characters that a host has not")
    if ":" not in text:
        return text, ""
    host, _, port = text.rpartition(":")
    if port and not (port.isascii() and port.isdigit()):
        raise NotAUrlError("its port is no number")
    return host, port
