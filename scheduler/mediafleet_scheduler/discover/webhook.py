"""The JSON list that -orchWebhookUrl names: `[{"address": "https://…", "score": 1}]`.

Read as a gateway reads it (livepeer/go-livepeer discovery/wh_discovery.go, Go's encoding/json):
redirects are followed, any 2xx is a list, names of fields have no case, and one field of a wrong
type refuses the whole list. Entries without a usable address are left out.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Final

import aiohttp

from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.probes.http_client import MAX_BYTES, client
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.core.advertise.gateway_url import NotAUrlError, gateway_target

_log: Final = logging.getLogger(__name__)
_TIMEOUT_SECONDS: Final = 3.0


class BadWebhookError(Exception):
    """The webhook gave no list; the text says why and is fit to print."""


async def addresses(url: str) -> list[str]:
    """The addresses that a webhook tells, which the user of this machine names.

    Raises:
        BadWebhookError: with the reason.
    """
    async with client(reach=OWN_WORD) as session:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS), session.get(url) as response:
                if not 200 <= response.status < 300:
                    raise _bad(url, f"HTTP {response.status}")
                body = await response.content.read(MAX_BYTES + 1)
                while len(body) <= MAX_BYTES and (more := await response.content.read(MAX_BYTES)):
                    body += more
        except TimeoutError:
            raise _bad(url, f"no answer in {_TIMEOUT_SECONDS:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _bad(url, str(error) or type(error).__name__) from error
    if len(body) > MAX_BYTES:
        raise _bad(url, f"more than {MAX_BYTES} bytes")
    return parse(body, url)


def parse(body: bytes, url: str) -> list[str]:
    """The addresses in a webhook's answer.

    Raises:
        BadWebhookError: a gateway refuses it and keeps its last list.
    """
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad(url, f"not JSON: {error}") from error
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise _bad(url, "JSON, but not a list")
    found = [_address(entry, index, url) for index, entry in enumerate(entries)]
    usable = [each for each in found if _is_usable(each)]
    if len(usable) < len(found):
        _log.warning("%d entries of the webhook have no usable address", len(found) - len(usable))
    return usable


def _address(entry: Any, index: int, url: str) -> str:
    if entry is None:
        return ""
    if not isinstance(entry, dict):
        raise _bad(url, f"entry {index} is no object")
    fields = {name.lower(): value for name, value in entry.items() if value is not None}
    address, score = fields.get("address", ""), fields.get("score", 0)
    if not isinstance(address, str):
        raise _bad(url, f"entry {index}: its address is no text")
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise _bad(url, f"entry {index}: its score is no number")
    return address


def _is_usable(address: str) -> bool:
    try:
        return bool(address) and gateway_target(address) is not None
    except NotAUrlError:
        return False


def _bad(url: str, why: str) -> BadWebhookError:
    return BadWebhookError(f"{printable(url)}: {printable(why)}")
