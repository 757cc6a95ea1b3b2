"""Why a call of the JSON API is refused: an exception that is its own answer."""

from __future__ import annotations

from aiohttp import web
from pydantic import ValidationError

from mediafleet_common.api.reading import words
from mediafleet_scheduler.broker.tasks.messages import Problem, Problems
from mediafleet_scheduler.core.workers.steps import Ending

_ENDINGS = {
    Ending.FAILED: (502, "look at the message: if it is not the request, try again"),
    Ending.LOST: (502, "submit the task again"),
    Ending.TIMED_OUT: (504, "submit it again with a longer timeout_seconds, or add workers"),
    Ending.CANCELLED: (410, "submit it again"),
}


class ProblemError(Exception):
    """A call that is refused."""

    def __init__(
        self, status: int, code: str, message: str, fix: str, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = Problem(
            code=code,
            field=None if field is None else _shown(field),
            message=_shown(message),
            fix=_shown(fix),
        )

    def answer(self) -> web.Response:
        """As it is sent."""
        headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}
        text = Problems(error=self.problem).model_dump_json()
        more = headers.get(self.status, {})
        return web.Response(
            status=self.status, text=text, content_type="application/json", headers=more
        )


def _shown(words: str) -> str:
    """Without halves of characters, which a caller may write into a name."""
    return words.encode(errors="replace").decode()


def of_ending(ending: Ending, words: str) -> ProblemError:
    """A task that has no result."""
    status, fix = _ENDINGS.get(ending, (502, "submit it again"))
    return ProblemError(status, ending.value, words or ending.value.replace("_", " "), fix)


def unknown_task() -> ProblemError:
    """Nobody knows the task."""
    said = "there is no such task: it never was, was deleted, or its result has expired"
    return ProblemError(404, "unknown_task", said, "submit it again")


def of_validation(error: ValidationError) -> ProblemError:
    """A submission that is none: its first fault."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(each) for each in first["loc"]) or "body"
    fix = "leave it out" if first["type"] == "extra_forbidden" else "see /v1/openapi.json"
    return ProblemError(422, "invalid", words(first), fix, field)
