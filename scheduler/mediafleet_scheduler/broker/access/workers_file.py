"""The file of workers: the name of each worker or pool, and its secret."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, SecretStr, model_validator

from mediafleet_common.api.base import Model
from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.small_files import read_small
from mediafleet_scheduler.broker.files import Lines
from mediafleet_scheduler.directory.files import BrokenFileError, parse

_MOST_BYTES: Final = 1024 * 1024
_MOST_SECRET: Final = 4096

_log: Final = logging.getLogger(__name__)


class WorkerEntry(Model):
    """A worker, or a pool of them, with a secret of its own."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    """As metrics, pages and `mediafleet explain` show it. It may stand twice while its secret is
    changed."""
    secret: SecretStr | None = None
    """What it registers with (-orchSecret)."""
    secret_file: Path | None = None
    """A file whose first line is the secret, beside this one; changes are followed."""

    @model_validator(mode="after")
    def _one(self) -> WorkerEntry:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("give either secret or secret_file")
        said = None if self.secret is None else self.secret.get_secret_value()
        if said is not None and (said != said.strip() or not 0 < len(said) <= _MOST_SECRET):
            raise ValueError("secret: write 1 to 4096 characters, none of them a space at an end")
        return self


class WorkersFile(Model):
    """All of them."""

    workers: Annotated[list[WorkerEntry], Field(max_length=10_000)]
    """Workers and pools."""

    @model_validator(mode="after")
    def _apart(self) -> WorkersFile:
        names: dict[str, str] = {}
        for each in self.workers:
            said = each.secret and each.secret.get_secret_value()
            if said and names.setdefault(said, each.name) != each.name:
                raise ValueError(f"workers: {names[said]} and {each.name} have one secret")
        return self


class NamedSecrets:
    """The names and secrets of a file, read again when it changes.

    A file that cannot be read any more is reported once; what it held stays in force. A worker that
    is taken out counts no more at once.

    Raises:
        CannotStartError: on creation, when it or a file that it names cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._entries: list[tuple[str, Callable[[], str]]] = []
        self._complained = False
        try:
            self._read()
        except (OSError, BrokenFileError) as error:
            raise CannotStartError(f"{path}: {_reason(error)}") from error

    def __call__(self) -> list[tuple[str, str]]:
        """What the file holds now."""
        try:
            self._read()
            self._complained = False
        except (OSError, BrokenFileError, CannotStartError) as error:
            if not self._complained:
                _log.error("%s: %s; what it held stays in force", self._path, _reason(error))
            self._complained = True
        return [(name, secret()) for name, secret in self._entries]

    def _read(self) -> None:
        stat = self._path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._stamp:
            return
        file = parse(read_small(self._path, _MOST_BYTES), WorkersFile)
        self._entries = [(each.name, self._secret(each)) for each in file.workers]
        self._stamp = stamp

    def _secret(self, entry: WorkerEntry) -> Callable[[], str]:
        if entry.secret_file is not None:
            return Lines(self._path.parent / entry.secret_file).first
        return (entry.secret or SecretStr("")).get_secret_value


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
