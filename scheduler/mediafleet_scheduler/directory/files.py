"""A directory from a YAML file that may be edited while the desk runs."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

import yaml
from prometheus_client import REGISTRY, CollectorRegistry, Counter
from pydantic import ValidationError

from mediafleet_common.api.base import Model
from mediafleet_common.api.reading import words
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.logs import printable
from mediafleet_common.serving.small_files import read_small
from mediafleet_scheduler.directory.publisher import Publisher, ViewT

ModelT = TypeVar("ModelT", bound=Model)
Build = Callable[[ModelT, ViewT | None, float], ViewT]
"""Makes a view of what the file says, the view before, and the file's Unix mtime."""

_log: Final = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.05
_WAIT_SECONDS: Final = 0.1
"""Together they make a change count within 0.2 s, also in a file that is replaced without end."""
_MAX_BYTES: Final = 16 * 1024 * 1024
_MAX_DEPTH: Final = 32
_MOST_PROBLEMS: Final = 10
_YOUNG_SECONDS: Final = 2.0
"""A file system may show times in steps of up to 2 s (FAT): a younger file is read again."""


class BrokenFileError(ValueError):
    """The file does not say what it should; the text names the field and the reason."""


class FileDirectory(Publisher[ViewT], Generic[ModelT, ViewT]):
    """Follows a file; a change counts within 0.2 s.

    A broken or missing file is reported once, with the reason, and the last view stays. A file
    must have been left alone for one poll before it is read, so that one that is being written
    does not seem to have lost its second half.
    """

    def __init__(
        self,
        path: Path,
        model: type[ModelT],
        build: Build[ModelT, ViewT],
        registry: CollectorRegistry = REGISTRY,
        clock: Clock = SYSTEM,
    ) -> None:
        super().__init__()
        self._path = path
        self._clock = clock
        self._model = model
        self._build = build
        self._seen: tuple[int, ...] | None = None
        self._unread_since: float | None = None
        self._content: bytes | None = None
        self._complaint: str | None = None
        self._loads = Counter(
            "mediafleet_directory_file_loads",
            "Contents of the file that were read, by whether they could be used.",
            ["result"],
            registry=registry,
        )

    @property
    def complaint(self) -> str | None:
        """What is wrong with the file at present."""
        return self._complaint

    async def run(self) -> None:
        """Follow the file until cancelled."""
        while True:
            self.poll()
            await asyncio.sleep(_POLL_SECONDS)

    def poll(self) -> None:
        """Look at the file once."""
        try:
            stat = _stat(self._path)
            if not self._read(stat):
                return
            model = parse(self._content or b"", self._model)
        except OSError as error:
            self._seen = self._content = None
            self._complain(f"{self._path}: {error.strerror}")
        except BrokenFileError as error:
            self._complain(f"{self._path}: {error}")
        else:
            self._take(model, stat.st_mtime)

    def _read(self, stat: os.stat_result) -> bool:
        """Whether the content changed and is not being written now."""
        stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if stat.st_size > _MAX_BYTES:
            # Without its size: while it grows, that would be another complaint at each look.
            raise BrokenFileError(f"it has more than {_MAX_BYTES} bytes")
        if stamp != self._seen:
            replaced = self._seen is not None and self._seen[1] != stat.st_ino
            self._seen = stamp
            now = self._clock.monotonic()
            self._unread_since = self._unread_since or now
            # Replaced again and again it is whole each time; written to again and again it is not.
            waited = replaced and now - self._unread_since > _WAIT_SECONDS
            if self.view is not None and not waited:
                return False
        elif self._clock.unix() - stat.st_mtime > _YOUNG_SECONDS and self._content is not None:
            # Old enough that a later write would show in the mtime, however coarse.
            return False
        self._unread_since = None
        before, self._content = self._content, read_small(self._path, _MAX_BYTES)
        return self._content != before

    def _take(self, model: ModelT, changed_at: float) -> None:
        self._loads.labels("ok").inc()
        if self._complaint is not None:
            _log.info("%s can be read again", self._path)
        self._complaint = None
        self.publish(self._build(model, self.view, changed_at))

    def _complain(self, complaint: str) -> None:
        if complaint == self._complaint:
            return
        self._complaint = complaint
        self._loads.labels("broken").inc()
        kept = "the last good one stays in force" if self.view is not None else "waiting for it"
        _log.error("%s; %s", printable(complaint, 1000), kept)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except ValueError as error:
        # Of a path that holds a NUL.
        raise OSError(None, "no file can have such a name") from error


def parse(content: bytes, model: type[ModelT]) -> ModelT:
    """What a file says.

    Raises:
        BrokenFileError: with the field and the reason.
    """
    try:
        _refuse_deep(content)
        data = yaml.load(content, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BrokenFileError(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        needed = [name for name, each in model.model_fields.items() if each.is_required()]
        fields = needed or list(model.model_fields)
        raise BrokenFileError(
            f"it is {'empty' if data is None else 'no mapping'}; write {': …, '.join(fields)}: …"
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise BrokenFileError(_all(error)) from error


def mistake(path: Path, model: type[Model]) -> str | None:
    """What is wrong with a file at present; `None`: nothing."""
    try:
        parse(read_small(path, _MAX_BYTES), model)
    except OSError as error:
        return f"{path}: {error.strerror}"
    except BrokenFileError as error:
        return f"{path}: {error}"
    return None


def _refuse_deep(content: bytes) -> None:
    # libyaml's composer recurses in C without a limit: deep nesting would end the process.
    depth = 0
    for event in yaml.parse(content, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested more than {_MAX_DEPTH} deep")


def _all(error: ValidationError) -> str:
    problems = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in each["loc"])
        fix = "write it in quotes" if each["type"] == "string_type" else words(each)
        problems.append(f"{where or 'file'}: {fix}")
    more = f" (and {len(problems) - _MOST_PROBLEMS} more)" if len(problems) > _MOST_PROBLEMS else ""
    return f"{'; '.join(problems[:_MOST_PROBLEMS])}{more}"
