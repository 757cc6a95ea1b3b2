"""Files of a job; workers fetch inputs under a name that nobody can guess, for a while.

Workers fetch by GET over HTTP/1.1, without a credential, within 4 s (go-livepeer
server/ai_worker.go): the name is all that lets them in.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PATH: Final = "/inputs/"
_AUTHORITY: Final = re.compile(r"([A-Za-z0-9.\-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?")


class Folder:
    """The folder of one job's files, which is made with the first one: most jobs have none."""

    def __init__(self, spool: Path, prefix: str) -> None:
        self._path = spool / f"{prefix}{secrets.token_hex(8)}"
        self._made = self._gone = False

    def file(self, name: str) -> Path:
        """Where a file of the job goes.

        Raises:
            OSError: it cannot be made, or the job is over.
        """
        if self._gone:
            raise FileNotFoundError("the job is over")
        if not self._made:
            self._path.mkdir(mode=0o700)
            self._made = True
        return self._path / name

    def remove(self) -> None:
        """The job is over: none of its files stays."""
        if self._made:
            shutil.rmtree(self._path, ignore_errors=True)
        self._gone = True


class Inputs:
    """The files that may be fetched now."""

    def __init__(self, tag: int | None = None) -> None:
        self._prefix = "" if tag is None else f"{tag}."
        """Names the broker among several."""
        self._files: dict[str, Path] = {}
        self._names: dict[Path, set[str]] = {}

    @property
    def files(self) -> Mapping[str, Path]:
        """By name."""
        return self._files

    def offer(self, file: Path, authority: str) -> str:
        """The URL of a file for a worker that reaches us as `authority`; empty when it names none
        that can stand in a URL."""
        if not _AUTHORITY.fullmatch(authority):
            return ""
        name = self._prefix + secrets.token_urlsafe(24)
        self._files[name] = file
        self._names.setdefault(file, set()).add(name)
        return f"https://{authority}{PATH}{name}"

    def withdraw(self, file: Path) -> None:
        """A file's job is over."""
        for name in self._names.pop(file, ()):
            self._files.pop(name, None)

    def find(self, path: str) -> Path | None:
        """The file of a request's path."""
        return self._files.get(path.removeprefix(PATH)) if path.startswith(PATH) else None
