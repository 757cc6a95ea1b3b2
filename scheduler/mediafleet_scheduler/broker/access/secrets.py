"""The secrets of workers, and whose each of them is. Compared in constant time."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mediafleet_common.serving.access import same


@dataclass(frozen=True, slots=True)
class Holder:
    """Who knows a secret."""

    name: str | None = None
    """By the file of workers, so that it is no claim; `None`: the secret is shared."""

    def is_other_than(self, worker: str | None) -> bool:
        """Whether a worker of that name is somebody else: what it does is not this one's."""
        return worker is not None and worker != self.name


def _nobody() -> list[tuple[str, str]]:
    return []


class Secrets:
    """Who may register and post results.

    A secret is found by its keyed hash, whose key is this process' own: how long that takes says
    nothing of the secrets, and no more with many of them.
    """

    def __init__(
        self,
        shared: Callable[[], list[str]],
        named: Callable[[], list[tuple[str, str]]] = _nobody,
    ) -> None:
        """Both are asked each time; `named` are names with the secret of each."""
        self._shared = shared
        self._named = named
        self._key: Final = secrets.token_bytes(32)
        self._known: list[tuple[str | None, str]] = []
        self._by_hash: dict[bytes, tuple[Holder, str]] = {}

    def holder(self, given: str) -> Holder | None:
        """Whose secret it is; `None`: nobody's."""
        self._look()
        holder, secret = self._by_hash.get(self._hash(given), (None, ""))
        return holder if same(secret, given) else None

    def accept(self, given: str) -> bool:
        """Whether it is one of ours."""
        return self.holder(given) is not None

    def hidden(self, words: str) -> str:
        """What a worker says, fit for logs and callers: without the secrets that it knows."""
        self._look()
        for _, each in self._known:
            words = words.replace(each, "***")
        return words

    def _look(self) -> None:
        known: list[tuple[str | None, str]] = [(None, each) for each in self._shared()]
        known += self._named()
        if known != self._known:
            self._known = known
            self._by_hash = self._hashed(known)

    def _hashed(self, known: Iterable[tuple[str | None, str]]) -> dict[bytes, tuple[Holder, str]]:
        return {self._hash(secret): (Holder(name), secret) for name, secret in known}

    def _hash(self, secret: str) -> bytes:
        return hashlib.blake2b(secret.encode(errors="surrogatepass"), key=self._key).digest()
