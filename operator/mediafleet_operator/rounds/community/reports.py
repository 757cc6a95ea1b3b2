"""Asks a reporter what it shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp
from pydantic import ValidationError

from mediafleet_common.api.reading import first_mistake
from mediafleet_common.probes.http_client import Failure, FetchError, fetch
from mediafleet_common.reports.community import CommunityReport
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.manifests.sharing import reporter_url
from mediafleet_operator.rounds.desks.demand import Tokens

Ask = Callable[[FleetKey], Awaitable[CommunityReport]]
"""What a reporter says.

Raises:
    FetchError: it does not answer, or not in words that we know.
"""


async def ask(session: aiohttp.ClientSession, tokens: Tokens, key: FleetKey) -> CommunityReport:
    """What the reporter of a CommunityMetrics says; raises FetchError."""
    url = f"{reporter_url(key.name, key.namespace)}/community/status"
    headers = {"Accept": "application/json"}
    if (token := await tokens.of(url, ())) is not None:
        headers["Authorization"] = f"Bearer {token}"
    body = await fetch(session, url, headers=headers)
    try:
        return CommunityReport.model_validate_json(body)
    except ValidationError as error:
        raise FetchError(Failure.UNREADABLE, first_mistake(error)) from error
