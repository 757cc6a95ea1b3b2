"""The settings file of `--settings`: YAML, a section for each process, read into a dataclass.

A section's fields are those of the process's settings dataclass, which stays free of pydantic;
dataclasses within are mappings within. Numbers are checked: finite, and not below 0.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.small_files import read_small_text

SECTIONS: Final = ("egress", "advertise", "operator", "broker", "worker")
"""Every process may read the same file: it looks at its own section alone."""
_MAX_BYTES: Final = 1024 * 1024

Settings = TypeVar("Settings")


def read(path: Path | None, section: str, kind: type[Settings]) -> Settings:
    """The settings that a file gives to a process; its defaults where it says nothing.

    Raises:
        CannotStartError: the file cannot be used; the text names each field and what to write.
    """
    if path is None:
        return kind()
    given = _document(path).get(section)
    if given is None:
        return kind()
    try:
        checked = _model(kind).model_validate(given)
    except ValidationError as error:
        problems = (
            f"{'.'.join((section, *map(str, each['loc'])))}: {_advice(each, kind)}"
            for each in error.errors()
        )
        raise CannotStartError(f"{path}: {'; '.join(problems)}") from error
    made: Settings = _made(kind, checked)
    return made


def _document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(read_small_text(path, _MAX_BYTES))
    except OSError as error:
        raise CannotStartError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise CannotStartError(f"{path}: {error}") from error
    except (RecursionError, ValueError):
        # A value such as 2024-99-99, or brackets by the thousand.
        raise CannotStartError(f"{path}: it is not YAML that can be read") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise CannotStartError(f"{path}: it is not a mapping of {', '.join(SECTIONS)}")
    if unknown := [str(name) for name in document if name not in SECTIONS]:
        raise CannotStartError(
            f"{path}: {', '.join(unknown)}: no such section; there are {', '.join(SECTIONS)}"
        )
    return document


def _model(kind: Any) -> type[BaseModel]:
    """A model with the fields of a dataclass, and no others."""
    hints = get_type_hints(kind, include_extras=True)
    made: dict[str, Any] = {}
    for each in fields(kind):
        hint = hints[each.name]
        default = each.default if each.default is not MISSING else each.default_factory
        if is_dataclass(hint):
            made[each.name] = (_model(hint) | None, None)
        elif hint in (int, float, int | None):
            made[each.name] = (Annotated[hint, Field(ge=0, allow_inf_nan=False)], default)
        else:
            made[each.name] = (hint, default)
    return create_model(kind.__name__, __config__=ConfigDict(extra="forbid"), **made)


def _made(kind: Any, checked: BaseModel) -> Any:
    hints = get_type_hints(kind)
    given = {
        name: _made(hints[name], getattr(checked, name))
        if is_dataclass(hints[name])
        else getattr(checked, name)
        for name in checked.model_fields_set
        if not (is_dataclass(hints[name]) and getattr(checked, name) is None)
    }
    return kind(**given)


def _advice(problem: Any, kind: type[object]) -> str:
    """What pydantic found, and for a name that is not known, the names that are."""
    if problem["type"] != "extra_forbidden":
        return f"{problem['msg']}, not {problem['input']!r}"
    of: Any = kind
    for name in problem["loc"][:-1]:
        of = get_type_hints(of)[name]
    return f"there is no such setting; there are {', '.join(each.name for each in fields(of))}"
