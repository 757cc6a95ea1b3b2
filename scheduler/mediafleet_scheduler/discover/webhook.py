"""The JSON list that -orchWebhookUrl names: `[{"address": "https://…", "score": 1}]`.

Source: livepeer/go-livepeer discovery/wh_discovery.go. Entries without a usable address are left
out; they cost the others nothing.
"""

from __future__ import annotations

import logging
from typing import Final

from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.probes.http_client import FetchError, client, fetch
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.core.advertise import sources as core

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
            body = await fetch(session, url, _TIMEOUT_SECONDS)
        except FetchError as error:
            raise BadWebhookError(f"{printable(url)}: {printable(str(error))}") from error
    return parse(body, url)


def parse(body: bytes, url: str) -> list[str]:
    """The addresses in a webhook's answer.

    Raises:
        BadWebhookError: it is no JSON list.
    """
    try:
        found, without = core.addresses(body)
    except core.NotAListError as error:
        raise BadWebhookError(f"{printable(url)}: {printable(str(error))}") from error
    if without:
        _log.warning("%d entries of the webhook have no address", without)
    return list(found)
