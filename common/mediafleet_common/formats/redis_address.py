"""The address of a Redis as host:port: what is wrong with one, and how to write it."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_DEFAULT_PORT: Final = 6379
_PORT: Final = re.compile("[1-9][0-9]{0,4}")


def address_problem(address: str, tls_field: str) -> str | None:
    """What is wrong with an address, with the fix; `None`: nothing.

    An address that may hold a password is not repeated. `tls_field`: how TLS is asked for.
    """
    if "@" in address:
        return "write host:port alone; user and password have fields of their own"
    scheme, separator, rest = address.partition("://")
    if separator:
        secure = f", and {tls_field}: true" if scheme == "rediss" else ""
        return f"write {rest.rstrip('/') or 'host:port'}, without {scheme}://{secure}"
    if not address.isascii() or not address.isprintable() or " " in address or "/" in address:
        return "write host:port, without spaces or slashes"
    if address.startswith("["):
        return _bracketed_problem(address)
    if address.count(":") > 1:
        return f"write an IPv6 address in brackets: {_in_brackets(address)}"
    host, colon, port = address.partition(":")
    if colon and not _is_port(port):
        return f"the port of {host or 'localhost'} is none: write host:port, port 1 to 65535"
    return None


def _bracketed_problem(address: str) -> str | None:
    host, bracket, port = address[1:].partition("]")
    if bracket and _is_ipv6(host) and (not port or (port[0] == ":" and _is_port(port[1:]))):
        return None
    return "write an IPv6 address as [address]:port"


def _in_brackets(address: str) -> str:
    host, _, port = address.rpartition(":")
    # The last group may be a port: as hexadecimal digits it would be four at most.
    if _is_ipv6(host) and _is_port(port) and (len(port) > 4 or port == str(_DEFAULT_PORT)):
        return f"[{host}]:{port}"
    return f"[{address}]:{_DEFAULT_PORT}" if _is_ipv6(address) else "[address]:port"


def _is_ipv6(text: str) -> bool:
    try:
        found = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return found.scope_id is None and found.ipv4_mapped is None


def _is_port(text: str) -> bool:
    return bool(_PORT.fullmatch(text)) and int(text) < 65536
