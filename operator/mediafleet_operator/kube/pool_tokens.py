"""Tokens by which the operator asks advertisers: each counts in one namespace alone.

Whoever owns a namespace can read what is sent to the Services there, and would send it on to the
advertisers of others. Kubelet makes tokens for audiences that the pod's manifest names, and the
namespaces of pools are known later; so the operator asks the API server for tokens of its own
account.

Source: TokenRequest, kubernetes staging/src/k8s.io/api/authentication/v1/types.go.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Final, Protocol

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.account_tokens import pools_audience
from mediafleet_common.kube.client import Json
from mediafleet_common.kube.errors import KubeError, UnreachableError
from mediafleet_common.kube.paths import Collection, Target

LIFETIME_SECONDS: Final = 600
"""The shortest that the API server gives."""
_RENEW_SECONDS: Final = LIFETIME_SECONDS / 2
"""A token that lives no longer than that is replaced."""
_ACCOUNTS: Final = Collection("", "v1", "serviceaccounts")


class Creates(Protocol):
    """Of kube.client.Api."""

    async def create(self, target: Target, body: Json) -> Json:
        """As there."""
        ...


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    ends_at: float
    """Unix time."""


@dataclass(slots=True)
class PoolTokens:
    """The tokens of one account, by namespace."""

    api: Creates
    namespace: str
    account: str
    clock: Clock = SYSTEM
    _kept: dict[str, _Token] = field(default_factory=dict, init=False)

    async def of(self, namespace: str) -> str:
        """A token that counts for the advertisers of a namespace for some minutes.

        Raises:
            KubeError: the API server gives none.
        """
        now = self.clock.unix()
        kept = self._kept.get(namespace)
        if kept is not None and now < kept.ends_at - _RENEW_SECONDS:
            return kept.text
        try:
            fresh = await self._request(namespace)
        except KubeError:
            if kept is not None and now < kept.ends_at:
                return kept.text
            raise
        alive = {name: each for name, each in self._kept.items() if now < each.ends_at}
        self._kept = {**alive, namespace: fresh}
        return fresh.text

    async def _request(self, namespace: str) -> _Token:
        spec = {"audiences": [pools_audience(namespace)], "expirationSeconds": LIFETIME_SECONDS}
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        target = _ACCOUNTS.item(self.namespace, self.account, "token")
        answer = await self.api.create(target, {**kind, "spec": spec})
        try:
            status = answer["status"]
            ends_at = datetime.datetime.fromisoformat(status["expirationTimestamp"]).timestamp()
            return _Token(str(status["token"]), ends_at)
        except (KeyError, TypeError, ValueError) as error:
            raise UnreachableError(f"POST {target.path}: no token: {error!r}") from error
