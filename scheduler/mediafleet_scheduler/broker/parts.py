"""A `multipart/mixed` result: file parts written to disk as they come, and one JSON part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mediafleet_scheduler.broker.inputs import Folder
from mediafleet_scheduler.broker.jobs import Whole
from mediafleet_scheduler.core.workers.foreign import read_json

MOST_JSON: Final = 16 * 1024 * 1024
_MOST_FILES: Final = 64
_MOST_HEADER: Final = 4096
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\.[a-z0-9]{1,5}")


class UnreadableError(Exception):
    """A result that is none; the text says what is wrong with it."""


def as_object(text: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UnreadableError: it is none.
    """
    try:
        value = read_json(text)
    except ValueError as error:
        raise UnreadableError("not JSON") from error
    if not isinstance(value, dict):
        raise UnreadableError("not a JSON object")
    return value


def _options(header: str | None) -> dict[bytes, bytes]:
    try:
        return parse_options_header(header)[1]
    except ValueError as error:
        raise UnreadableError("a header is not Latin-1") from error


class Parts:
    """Reads the parts of one result into a job's folder, a chunk at a time.

    A part's name is kept to find it in the JSON; the file on disk has a name of ours, that begins
    with `prefix`.

    Raises:
        UnreadableError: from `feed` and `whole`, with what is wrong.
    """

    def __init__(self, content_type: str, folder: Folder, prefix: str) -> None:
        options = _options(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise UnreadableError("Content-Type names no boundary")
        self._folder = folder
        self._prefix = prefix
        self._files: dict[str, Path] = {}
        self._file: BinaryIO | None = None
        self._json: bytearray | None = None
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[str, str] = {}
        self._in_json = self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise UnreadableError(f"not multipart/mixed: {error}") from error

    def whole(self) -> Whole:
        """The result, when all bytes are there."""
        if not self._ended:
            raise UnreadableError("the last part is cut off")
        if self._json is None:
            raise UnreadableError("no part is application/json")
        body: Mapping[str, object] = as_object(bytes(self._json))
        return Whole(body, self._files)

    def close(self) -> None:
        """No file stays open."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._bound()

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound()

    def _bound(self) -> None:
        if len(self._name) + len(self._value) > _MOST_HEADER or len(self._headers) > 16:
            raise UnreadableError("a part's headers are too long")

    def _on_header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        media = self._headers.get("content-type", "")
        options = _options(self._headers.get("content-disposition"))
        self._headers.clear()
        if media.startswith("application/json"):
            if self._json is not None:
                raise UnreadableError("two parts are application/json")
            self._json, self._in_json = bytearray(), True
            return
        name = options.get(b"filename", b"").decode("latin-1")
        if not _FILE_NAME.fullmatch(name) or name in self._files:
            raise UnreadableError("a file part needs a plain name of its own")
        if len(self._files) == _MOST_FILES:
            raise UnreadableError(f"more than {_MOST_FILES} files")
        path = self._folder.file(f"{self._prefix}-{len(self._files)}")
        self._file = path.open("xb")
        self._files[name] = path

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(memoryview(data)[start:end])
        elif self._in_json and self._json is not None:
            self._json += data[start:end]
            if len(self._json) > MOST_JSON:
                raise UnreadableError(f"a JSON part of more than {MOST_JSON} bytes")

    def _on_part_end(self) -> None:
        self._in_json = False
        self.close()

    def _on_end(self) -> None:
        self._ended = True
