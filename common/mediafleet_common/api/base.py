"""What every model of a resource or file shares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function

PRINTABLE: Final = "[!-~]"
"""A character of a URL: regular expressions of Go and ours differ in what a space is."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a text is written: API server and model refuse another one, and say what to write.

    A rule and not a pattern: of that the API server would quote the regular expression.
    """

    pattern: str
    """Of the whole text, from ^ to $."""
    advice: str
    """What to write."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        pattern = self.pattern.replace("\\", "\\\\")
        return {**handler(core_schema), **rules((f"self.matches('{pattern}')", self.advice))}

    def _checked(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.advice)
        return text


@dataclass(frozen=True, slots=True)
class Keyed:
    """A list no two entries of which are equal in these fields: API server and model refuse others.

    Server-side apply tells the entries apart by them.
    """

    fields: tuple[str, ...]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        keys = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(self.fields)}
        return {**handler(core_schema), **keys}

    def _checked(self, entries: list[Any]) -> list[Any]:
        seen = set()
        for entry in entries:
            key = tuple(getattr(entry, field) for field in self.fields)
            if key in seen:
                said = ", ".join(f"{f} {v}" for f, v in zip(self.fields, key, strict=True))
                raise ValueError(f"two entries have {said}: take one away or rename it")
            seen.add(key)
        return entries


HOST_PORT: Final = Form(
    "^[!-.0-?A-~]+:[0-9]{1,5}$",
    "write HOST:PORT, without a scheme and a user, for example head.livepeer.svc:8935",
)
EthAddress = Annotated[
    str,
    Field(max_length=42),
    Form("^0x[0-9a-fA-F]{40}$", "write an ETH address: 0x and 40 hexadecimal digits"),
]


class Rule(NamedTuple):
    """What holds between the fields of a model: once for the API server, once for Python."""

    cel: str
    message: str
    """What to say when it is broken."""
    holds: Callable[[Any], bool]
    """The same as the CEL, of a model whose fields are right each by itself."""


class Model(BaseModel):
    """A part of a resource: camelCase in Kubernetes, snake_case in files and in Python.

    Unknown fields are refused, so that a typing error is never silently ignored.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        # Errors speak of files, which are snake_case; resources were checked by the API server.
        loc_by_alias=False,
        # What was written may be a secret in the wrong field.
        hide_input_in_errors=True,
    )
    RULES: ClassVar[tuple[Rule, ...]] = ()
    """Schema and model refuse what breaks one."""

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        broken(self, self.RULES)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        if cls.RULES:
            handler.resolve_ref_schema(schema).update(
                rules(*((rule.cel, rule.message) for rule in cls.RULES))
            )
        return schema


def broken(value: object, all_rules: Iterable[Rule]) -> None:
    """Raise ValueError with the message of the first rule that does not hold."""
    for rule in all_rules:
        if not rule.holds(value):
            raise ValueError(rule.message)


def rules(*pairs: tuple[str, str]) -> dict[str, JsonValue]:
    """CEL rules for a model's schema: pairs of the rule and what to say when it is broken."""
    return {
        "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]
    }
