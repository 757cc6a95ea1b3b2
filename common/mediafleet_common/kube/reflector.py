"""Follows a collection from a resourceVersion on: a watch that is taken up where it ended.

kopf lists a collection in one GET before each watch, which takes hundreds of MB for thousands of
pods; this lists nothing by itself. Wire: kubernetes.io/docs/reference/using-api/api-concepts,
"Efficient detection of changes".
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import KubeError, UnreachableError
from mediafleet_common.kube.paths import Target

WATCH_SECONDS: Final = 60
"""A watch is asked to end after so long: one that died without a word is found out."""


class ExpiredError(KubeError):
    """The server no longer knows that resourceVersion: list anew."""

    word = "expired"


class Reflector:
    """One collection in one place; `take` gets each object, and whether it was deleted."""

    def __init__(self, target: Target, selector: str, take: Callable[[Json, bool], None]) -> None:
        self._target = target
        self._selector = selector
        self._take = take
        self.version = 0
        """What is known; to be set from a list before the first watch."""

    async def watch(self, api: Api) -> None:
        """Follow until the server ends the watch; `version` goes along, however it ends.

        Raises:
            ExpiredError: list anew.
            KubeError: the server cannot be reached, or refuses.
        """
        query = {"resourceVersion": str(self.version)}
        if self._selector:
            query["labelSelector"] = self._selector
        seconds = WATCH_SECONDS + random.randrange(WATCH_SECONDS // 4)
        async for event in api.watch(self._target, seconds, **query):
            self._event(event)

    def _event(self, event: Json) -> None:
        kind, raw = event.get("type"), event.get("object")
        if kind == "ERROR" or not isinstance(raw, dict):
            status: Any = raw if isinstance(raw, dict) else {}
            message = f"watch: {status.get('message') or event}"
            raise ExpiredError(message) if status.get("code") == 410 else UnreachableError(message)
        try:
            version = int(raw["metadata"]["resourceVersion"])
        except (KeyError, TypeError, ValueError) as error:
            raise UnreachableError(f"watch: an event without a version: {error!r}") from error
        if kind != "BOOKMARK":
            self._take(raw, kind == "DELETED")
        self.version = version
