"""Who may read reports in a cluster: named accounts, by tokens that the API server signed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from aiohttp.test_utils import make_mocked_request
from cryptography.hazmat.primitives.asymmetric import ec

from mediafleet_common.clock import Clock
from mediafleet_common.kube.account_tokens import (
    AUDIENCE,
    AccountTokens,
    UnknownKeyError,
    account_of,
    accounts_in,
    pools_audience,
    read_keys,
)
from mediafleet_common.kube.errors import UnreachableError
from mediafleet_common.kube.paths import Target
from mediafleet_common.serving.access import EVERYTHING, Scope

ISSUER: Final = "https://kubernetes.default.svc"
NOW: Final = 1_000_000.0
OPERATOR: Final = "system:serviceaccount:mediafleet:operator"
CLAIMS: Final = {"iss": ISSUER, "aud": ["mediafleet"], "sub": OPERATOR, "exp": NOW + 600}


@dataclass
class Signer:
    """A key of an API server."""

    name: str = "one"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def public(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return {**told, "kid": self.name, "alg": "ES256", "use": "sig"}

    def token(self, **claims: Any) -> str:
        body = {key: value for key, value in {**CLAIMS, **claims}.items() if value is not None}
        return jwt.encode(body, self.key, algorithm="ES256", headers={"kid": self.name})


@dataclass
class Server:
    """An API server that may be away."""

    signers: list[Signer]
    away: bool = False
    asked: int = 0

    async def document(self, target: Target, media_type: str) -> Mapping[str, Any]:
        of_keys = "configuration" not in target.path
        assert media_type == ("application/jwk-set+json" if of_keys else "application/json")
        if self.away:
            raise UnreachableError("away")
        self.asked += 1
        keys = {"keys": [each.public() for each in self.signers]}
        return {"issuer": ISSUER} if "configuration" in target.path else keys

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        yield self


SIGNER: Final = Signer()
KEYS: Final = read_keys({"issuer": ISSUER}, {"keys": [SIGNER.public()]})


def test_a_token_of_the_api_server_says_which_account_it_is_of() -> None:
    assert account_of(SIGNER.token(), KEYS, ["mediafleet"], NOW) == "mediafleet/operator"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["https://kubernetes.default.svc"]},
        {"aud": pools_audience("mediafleet")},
        {"aud": None},
        {"iss": "https://elsewhere"},
        {"exp": NOW - 60},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": NOW + 60},
        {"sub": "alice"},
        {"sub": "x:" + OPERATOR},
        {"sub": "system:serviceaccount:operator"},
    ],
    ids=str,
)
def test_a_token_for_another_or_of_another_time_does_not_count(claims: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="token"):
        account_of(SIGNER.token(**claims), KEYS, ["mediafleet"], NOW)


def test_a_token_that_somebody_else_signed_does_not_count() -> None:
    forged = Signer("one").token()
    for token in (forged, "", "a.b.c", "x" * 10_000, SIGNER.token()[:-4]):
        with pytest.raises(ValueError, match="token"):
            account_of(token, KEYS, ["mediafleet"], NOW)
    headers = {"kid": "one"}
    unsigned = jwt.encode(CLAIMS, "", algorithm="none", headers=headers)
    by_secret = jwt.encode(CLAIMS, "x" * 64, algorithm="HS256", headers=headers)
    for token in (unsigned, by_secret):
        with pytest.raises(ValueError, match="does not count"):
            account_of(token, KEYS, ["mediafleet"], NOW)
    with pytest.raises(UnknownKeyError):
        account_of(Signer("two").token(), KEYS, ["mediafleet"], NOW)


def tokens(server: Server, file: Path | None = None) -> AccountTokens:
    return AccountTokens(
        accounts_in(["mediafleet/operator"]),
        file=file,
        connect=server.connect,
        clock=Clock(unix=lambda: NOW, monotonic=lambda: NOW),
    )


def status(access: AccountTokens, token: str | None) -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    admitted = access.admit(make_mocked_request("GET", "/demand", headers=headers))
    return 200 if isinstance(admitted, Scope) else admitted.status


@pytest.mark.looptime
async def test_only_named_accounts_are_answered_and_those_while_the_api_server_is_away() -> None:
    server = Server([SIGNER])
    access = tokens(server)
    assert status(access, SIGNER.token()) == 503
    running = asyncio.create_task(access.run())
    await asyncio.sleep(1)
    server.away = True
    await asyncio.sleep(3600)
    assert status(access, SIGNER.token()) == 200
    assert status(access, SIGNER.token(sub="system:serviceaccount:evil:operator")) == 403
    assert status(access, None) == 401
    assert status(access, Signer("one").token()) == 401
    running.cancel()


@pytest.mark.looptime
async def test_a_new_key_counts_soon_and_strange_ones_do_not_trouble_the_api_server() -> None:
    server, new = Server([SIGNER]), Signer("two")
    access = tokens(server)
    running = asyncio.create_task(access.run())
    await asyncio.sleep(10)
    server.signers.append(new)
    assert status(access, new.token()) == 401
    await asyncio.sleep(5)
    assert status(access, new.token()) == 200
    asked, strange = server.asked, Signer("strange").token()
    for _ in range(600):
        assert status(access, strange) == 401
        await asyncio.sleep(0.1)
    assert server.asked - asked <= 2 * 60 / 2 + 2
    running.cancel()


@pytest.mark.looptime
async def test_a_desk_that_starts_while_the_api_server_is_away_knows_the_keys(
    tmp_path: Path,
) -> None:
    server, file = Server([SIGNER]), tmp_path / "keys.json"
    for _ in range(2):
        access = tokens(server, file)
        running = asyncio.create_task(access.run())
        await asyncio.sleep(1)
        assert status(access, SIGNER.token()) == 200
        running.cancel()
        server.away = True
    file.write_text("{")
    access = tokens(server, file)
    running = asyncio.create_task(access.run())
    await asyncio.sleep(1)
    assert status(access, SIGNER.token()) == 503
    assert not running.done()
    running.cancel()


@pytest.mark.looptime
async def test_a_token_that_a_pools_owner_has_read_is_refused_by_the_pools_of_others() -> None:
    server = Server([SIGNER])
    stolen = SIGNER.token(aud=pools_audience("evil"))
    answers = {}
    for namespace in ("evil", "victim", None):
        access = tokens(server)
        if namespace:
            access.audiences = frozenset({AUDIENCE, pools_audience(namespace)})
        running = asyncio.create_task(access.run())
        await asyncio.sleep(1)
        answers[namespace or "the egress desk"] = status(access, stolen)
        running.cancel()
    assert answers == {"evil": 200, "victim": 401, "the egress desk": 401}


def test_an_account_reads_of_its_own_namespace_unless_more_is_granted() -> None:
    scopes = accounts_in(["a/x", "ops/y=a,b", "mediafleet/operator=*"])
    seen = {
        account: [each for each in ("a", "b", "ops", "mediafleet") if scope.sees(each)]
        for account, scope in scopes.items()
    }
    assert seen == {
        "a/x": ["a"],
        "ops/y": ["a", "b"],
        "mediafleet/operator": ["a", "b", "ops", "mediafleet"],
    }


def test_all_that_a_pools_advertiser_says_is_for_who_may_read_of_its_namespace() -> None:
    assert accounts_in(["a/x", "ops/y=b", "op/z=*"], pools_in="b") == {
        "ops/y": EVERYTHING,
        "op/z": EVERYTHING,
    }


@pytest.mark.parametrize("text", ["a", "/x", "a/", "a/x=", "a/x=b,", "=*", "a/=*"])
def test_an_account_that_is_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write NAMESPACE/NAME"):
        accounts_in([text])
