"""A runner's request as a task: JSON or a form, read with bounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mediafleet_scheduler.broker.inputs import Folder
from mediafleet_scheduler.broker.jobs import Input
from mediafleet_scheduler.core.workers.foreign import read_json
from mediafleet_scheduler.core.workers.pipelines import (
    FORMS,
    BadRequestError,
    Pipeline,
    check,
    typed,
)

_MOST_INPUT: Final = 300 * 1024 * 1024
"""What a stock worker fetches at the most (go-livepeer server/ai_worker.go)."""
_MOST_JSON: Final = 8 * 1024 * 1024
_MOST_FIELD: Final = 1024 * 1024
_MOST_FIELDS: Final = 64
_CHUNK: Final = 64 * 1024
UNREADABLE: Final = (
    ValueError,
    aiohttp.ClientError,
    HttpProcessingError,
    web.RequestPayloadError,
    AssertionError,
    RuntimeError,
)
"""What reading a body raises that is no JSON, or no form. aiohttp's reader of forms tells of some
mistakes by the last two."""


async def read(
    request: web.Request, pipeline: Pipeline, folder: Folder, model: str | None = None
) -> Input:
    """The task that a request asks for; its file is written into `folder`. `model`: for a request
    that names none.

    Raises:
        BadRequestError: with the field and the fix.
        UNREADABLE: it is no JSON, or no form.
    """
    form = FORMS[pipeline]
    if form.file_field is None:
        fields = read_json(await whole_body(request))
        if not isinstance(fields, dict):
            raise BadRequestError("body", "must be a JSON object")
        fields = _named(fields, form.model_field, model)
        check(pipeline, fields)
        return Input(fields)
    texts, file = await _form(request, form.file_field, folder)
    return with_file(pipeline, _named(typed(texts), form.model_field, model), file)


def _named(fields: dict[str, object], field: str, model: str | None) -> dict[str, object]:
    return fields if model is None else {field: model, **fields}


def with_file(pipeline: Pipeline, fields: Mapping[str, object], file: Path | None) -> Input:
    """A task of a pipeline that takes a file.

    Raises:
        BadRequestError: with the field and the fix.
    """
    field = FORMS[pipeline].file_field or "file"
    if file is None:
        raise BadRequestError(field, "is missing: attach the file")
    check(pipeline, fields)
    return Input({**fields, field: None}, file)


async def whole_body(request: web.Request) -> bytes:
    """A JSON body, within a bound.

    Raises:
        BadRequestError: it is too long.
    """
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > _MOST_JSON:
            raise BadRequestError("body", f"is longer than {_MOST_JSON} bytes")
    return bytes(body)


async def _form(
    request: web.Request, file_field: str, folder: Folder
) -> tuple[list[tuple[str, str]], Path | None]:
    texts: list[tuple[str, str]] = []
    file: Path | None = None
    async for part in await request.multipart():
        if not isinstance(part, aiohttp.BodyPartReader):
            raise BadRequestError("body", "holds parts within parts")
        name = part.name or ""
        if name != file_field:
            texts.append((name, await text(part, name)))
        elif file is None:
            file = await save(part, folder.file("input"))
        else:
            raise BadRequestError(name, "is there twice")
        if len(texts) > _MOST_FIELDS:
            raise BadRequestError("body", f"has more than {_MOST_FIELDS} fields")
    return texts, file


async def text(part: aiohttp.BodyPartReader, name: str) -> str:
    """A field of a form, within a bound.

    Raises:
        BadRequestError: it is too long.
    """
    value = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        value += chunk
        if len(value) > _MOST_FIELD:
            raise BadRequestError(name, f"is longer than {_MOST_FIELD} bytes")
    return value.decode()


async def save(part: aiohttp.BodyPartReader, path: Path) -> Path:
    """A file of a form, written to disk within a bound.

    Raises:
        BadRequestError: it is too long.
    """
    size = 0
    with path.open("xb") as file:
        while chunk := await part.read_chunk(_CHUNK):
            size += len(chunk)
            if size > _MOST_INPUT:
                raise BadRequestError(part.name or "file", f"is longer than {_MOST_INPUT} bytes")
            file.write(chunk)
    return path
