"""Hosts beside ports: an IPv6 address stands in brackets."""

from __future__ import annotations


def bracketed(host: str) -> str:
    """A host as it stands in a URL or before `:PORT`."""
    return f"[{host}]" if ":" in host else host


def unbracketed(host: str) -> str:
    """A host from before `:PORT`, as it is dialled."""
    return host.removeprefix("[").removesuffix("]")


def with_port(host: str, port: int) -> str:
    """`HOST:PORT`."""
    return f"{bracketed(host)}:{port}"
