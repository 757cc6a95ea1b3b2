"""The list of orchestrators on-chain, as somebody exported it: service URIs, with who they are of.

Forms that are about: a list of URIs; one of objects with `serviceURI` and `id`, the ETH address, as
Livepeer's subgraph answers it (livepeer/subgraph schema.graphql, Transcoder), also inside
`data.transcoders`; one of objects with `address`, a URI, as `-orchWebhookUrl` has it
(livepeer/go-livepeer discovery/wh_discovery.go). Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from mediafleet_common.formats.node_url import BadNodeUrlError, parse_node_url

MOST: Final = 5000
_ADDRESS_DIGITS: Final = 40


class NoListError(ValueError):
    """What was read is no list of orchestrators; the text says why."""


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """One of the list."""

    url: str
    """Where it takes work; `https://host:port`, or as it was written where that is none."""
    address: bytes | None = None
    """Its ETH address; `None`: the list does not say."""
    refusal: str | None = None
    """Why it cannot be asked; `None`: it can."""


def read_orchestrators(body: bytes) -> list[Orchestrator]:
    """The list, each URL once.

    Raises:
        NoListError: it is none.
    """
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NoListError("it is no JSON") from error
    entries = _entries(told)
    if len(entries) > MOST:
        raise NoListError(f"it has more than {MOST} entries")
    found = map(_orchestrator, entries)
    return list({each.url: each for each in found if each is not None}.values())


def _entries(told: Any) -> list[Any]:
    for key in ("data", "transcoders"):
        if isinstance(told, dict) and key in told:
            told = told[key]
    if not isinstance(told, list):
        raise NoListError("give a list of service URIs, or of objects with serviceURI")
    return told


def _orchestrator(entry: Any) -> Orchestrator | None:
    uri, address = entry, None
    if isinstance(entry, dict):
        uri = entry.get("serviceURI") or entry.get("address")
        address = _address(entry.get("id"))
    if not isinstance(uri, str) or not uri:
        # Registered, and never said where it takes work.
        return None
    try:
        return Orchestrator(str(parse_node_url(uri)), address)
    except BadNodeUrlError as error:
        return Orchestrator(uri[:100], address, str(error))


def _address(text: Any) -> bytes | None:
    digits = text.removeprefix("0x") if isinstance(text, str) else ""
    try:
        return bytes.fromhex(digits) if len(digits) == _ADDRESS_DIGITS else None
    except ValueError:
        return None
