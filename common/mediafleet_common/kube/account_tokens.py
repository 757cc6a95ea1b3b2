"""Lets in named ServiceAccounts by tokens that the API server signed for us, without asking it.

The keys are those of the API server's OpenID discovery, which each ServiceAccount may read
(ClusterRole system:service-account-issuer-discovery). They are kept, in a file too if one is given,
so that tokens are judged while the API server is away. A token of a pod that is gone counts until
it expires: ten minutes for those that kubelet makes for us.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/
#service-account-issuer-discovery, RFC 7519.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
from aiohttp import web

from mediafleet_common.back_off import BackOff
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.client import Connect, connect
from mediafleet_common.kube.errors import KubeError
from mediafleet_common.kube.paths import Target
from mediafleet_common.serving.access import EVERYTHING, Refusal, Scope, bearer

AUDIENCE: Final = "mediafleet"
"""Of tokens for any process of ours."""
REFRESH_SECONDS: Final = 300.0
_LEAST_SECONDS: Final = 2.0
"""Between two readings of the keys."""
_SKEW_SECONDS: Final = 10.0
_MAX_TOKEN_CHARACTERS: Final = 8192
_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"})
_DISCOVERY: Final = Target("/.well-known/openid-configuration", "openid")
_KEYS: Final = Target("/openid/v1/jwks", "openid")

_log: Final = logging.getLogger(__name__)


def pools_audience(namespace: str) -> str:
    """Of tokens for the advertisers of a namespace: whoever owns it can read those that are sent to
    them, and no other process of ours takes them."""
    return f"{AUDIENCE}-pools/{namespace}"


def accounts_in(options: Iterable[str], pools_in: str | None = None) -> dict[str, Scope]:
    """What accounts may read that are written as `NAMESPACE/NAME`, which is what is said of its own
    namespace, `NAMESPACE/NAME=NAMESPACE,…`, or `NAMESPACE/NAME=*`.

    `pools_in`: all that there is to read is of this namespace.

    Raises:
        ValueError: one is not written so.
    """
    found = {}
    for option in options:
        account, equals, readable = option.partition("=")
        namespace, _, name = account.partition("/")
        names = readable.split(",") if equals else [namespace]
        if not (namespace and name and all(names)):
            raise ValueError(f"{option}: write NAMESPACE/NAME, then =NAMESPACE,… or =* for others")
        scope = EVERYTHING if names == ["*"] else Scope(frozenset(names))
        if pools_in is None:
            found[account] = scope
        elif scope.sees(pools_in):
            found[account] = EVERYTHING
    return found


@dataclass(frozen=True, slots=True)
class Keys:
    """Whose tokens count, and what they are signed with."""

    issuer: str
    by_id: Mapping[str, jwt.PyJWK]


class UnknownKeyError(Exception):
    """A token is signed by a key that we have not, perhaps not yet."""


def read_keys(discovery: Any, key_set: Any) -> Keys:
    """The keys of an API server.

    Raises:
        ValueError: its answers are not what they should be.
    """
    try:
        keys = [jwt.PyJWK(each) for each in key_set["keys"]]
        by_id = {key.key_id: key for key in keys if key.key_id}
        return Keys(str(discovery["issuer"]), by_id)
    except (KeyError, TypeError, jwt.PyJWTError) as error:
        raise ValueError(f"the keys of the API server cannot be read: {error!r}") from error


def account_of(token: str, keys: Keys, audiences: Collection[str], unix_now: float) -> str:
    """`NAMESPACE/NAME` of the account that a token is of.

    Raises:
        ValueError: the token does not count, and why.
        UnknownKeyError: it may count by keys that are newer.
    """
    if len(token) > _MAX_TOKEN_CHARACTERS:
        raise ValueError("the token is too long")
    try:
        key = keys.by_id.get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise UnknownKeyError
        claims = jwt.decode(
            token,
            key,
            # The key says how it signs; what the token says of that does not count.
            algorithms=[key.algorithm_name] if key.algorithm_name in _ALGORITHMS else [],
            audience=list(audiences),
            issuer=keys.issuer,
            options={
                "require": ["exp", "iss", "aud", "sub"],
                # By our clock, below.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.PyJWTError as error:
        raise ValueError(f"the token does not count: {error}") from error
    _refuse_times(claims, unix_now)
    kind, _, name = str(claims["sub"]).rpartition("system:serviceaccount:")
    namespace, colon, account = name.partition(":")
    if kind or not colon:
        raise ValueError("the token is not of a ServiceAccount")
    return f"{namespace}/{account}"


def _refuse_times(claims: Mapping[str, Any], unix_now: float) -> None:
    try:
        ends, starts = float(claims["exp"]), float(claims.get("nbf", 0))
    except (TypeError, ValueError) as error:
        raise ValueError("the token has no times") from error
    if not starts - _SKEW_SECONDS <= unix_now < ends + _SKEW_SECONDS:
        raise ValueError("the token has expired, or is not valid yet")


@dataclass(slots=True)
class AccountTokens:
    """Answers named accounts that show a token for one of our audiences."""

    accounts: Mapping[str, Scope]
    """What each may read, by `NAMESPACE/NAME`."""
    audiences: frozenset[str] = frozenset({AUDIENCE})
    file: Path | None = None
    """Keeps the keys for a start while the API server is away."""
    connect: Connect = connect
    clock: Clock = SYSTEM
    _keys: Keys | None = field(default=None, init=False)
    _unknown_key: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def admit(self, request: web.Request) -> Refusal | Scope:
        """As serving.access.Access."""
        if self._keys is None:
            return Refusal(503, "the keys of the API server are not known yet")
        token = bearer(request)
        if token is None:
            return Refusal(401, f"give a ServiceAccount token of audience {AUDIENCE}")
        try:
            account = account_of(token, self._keys, self.audiences, self.clock.unix())
        except UnknownKeyError:
            self._unknown_key.set()
            return Refusal(401, "the token is signed by a key that is not known (yet)")
        except ValueError as error:
            return Refusal(401, str(error))
        scope = self.accounts.get(account)
        return scope or Refusal(403, f"account {account} is not among those that may read this")

    async def run(self) -> None:
        """Read the keys, again every few minutes and when a token has an unknown one."""
        self._recall()
        back_off = BackOff(_LEAST_SECONDS, REFRESH_SECONDS)
        while True:
            pause = REFRESH_SECONDS
            try:
                await self._refresh()
                back_off.reset()
            except (KubeError, ValueError) as error:
                pause = back_off.pause() if self._keys else _LEAST_SECONDS
                level = logging.INFO if self._keys else logging.WARNING
                _log.log(level, "the keys of the API server cannot be read: %s", error)
            # No more often than that, whatever tokens come.
            await asyncio.sleep(_LEAST_SECONDS)
            self._unknown_key.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause - _LEAST_SECONDS):
                    await self._unknown_key.wait()

    async def _refresh(self) -> None:
        async with self.connect() as api:
            discovery = await api.document(_DISCOVERY, "application/json")
            # Any other type is HTTP 406 here (kubernetes pkg/routes/openidmetadata.go).
            key_set = await api.document(_KEYS, "application/jwk-set+json")
        self._keys = read_keys(discovery, key_set)
        if self.file is not None:
            fresh = self.file.with_suffix(".new")
            try:
                fresh.write_text(json.dumps([discovery, key_set]))
                fresh.replace(self.file)
            except OSError as error:
                _log.warning("the keys are not kept in %s: %s", self.file, error)

    def _recall(self) -> None:
        if self.file is None:
            return
        try:
            discovery, key_set = json.loads(self.file.read_text())
            self._keys = read_keys(discovery, key_set)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError) as error:
            _log.warning("the keys kept in %s cannot be used: %s", self.file, error)
