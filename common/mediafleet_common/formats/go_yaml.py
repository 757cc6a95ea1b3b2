"""YAML as Go's yaml.v3 reads it into typed fields, for configs that LiveKit's programs read, too.

There `no`, `01234567` and `2024-11-28` in a string field are the text as it was written, and an
empty value is the zero value of any field. Imports little: every egress pod pays for it.

Source: go-yaml/yaml v3, decode.go (func scalar) and resolve.go.
"""

from __future__ import annotations

import re
from typing import Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000
_TAG: Final = "tag:yaml.org,2002:"
_NULL: Final = f"{_TAG}null"
_TRUE: Final = frozenset({"true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE: Final = frozenset(
    {"false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"}
)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_BASES: Final = {"0x": 16, "0b": 2, "0o": 8}
_INT64: Final = 1 << 63
_MAX_NUMBER_CHARACTERS: Final = 64


class BadYamlError(ValueError):
    """The text is not YAML that Go reads; never repeats what stands in it."""


class WrongKindError(ValueError):
    """A value that the field cannot take; says what would do, and not what stood there."""


def document(text: str) -> Node | None:
    """The first document, as Go reads it, with merged keys (`<<`) in place; `None`: it is empty.

    Raises:
        BadYamlError: with the line.
    """
    loader = yaml.SafeLoader(text) if _printable(text) else None
    if loader is None:
        raise BadYamlError("it holds a character that YAML does not take")
    try:
        node = loader.get_node() if loader.check_node() else None
        if node is not None:
            _prepare(loader, node)
    except yaml.YAMLError as error:
        raise BadYamlError(_where(error)) from None
    except RecursionError:
        raise BadYamlError(f"it is nested more than {MAX_DEPTH} deep") from None
    finally:
        loader.dispose()
    return None if is_null(node) else node


def _printable(text: str) -> bool:
    return yaml.reader.Reader.NON_PRINTABLE.search(text) is None


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f" in line {mark.line + 1}" if mark else ""
    problem = getattr(error, "problem", None) or "it cannot be parsed"
    # Of what PyYAML says, an alias or a tag is quoted, which may be a piece of a secret.
    return f"it is not YAML{line}: {problem.split(chr(39))[0].split(chr(34))[0].strip()}"


def _prepare(loader: yaml.SafeLoader, root: Node) -> None:
    seen: set[int] = set()

    def go(node: Node, depth: int) -> None:
        if depth > MAX_DEPTH or len(seen) > MAX_NODES:
            raise BadYamlError(f"it is nested more than {MAX_DEPTH} deep, or too large")
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, MappingNode):
            _refuse_twice(node)
            loader.flatten_mapping(node)
            node.value = list({_key(key): (key, value) for key, value in node.value}.values())
            for key, value in node.value:
                go(key, depth + 1)
                go(value, depth + 1)
        elif isinstance(node, SequenceNode):
            for each in node.value:
                go(each, depth + 1)

    go(root, 1)


def _refuse_twice(node: MappingNode) -> None:
    keys: set[object] = set()
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            raise BadYamlError(f"a key in line {key.start_mark.line + 1} is no plain text")
        if key.value in keys:
            raise BadYamlError(f"a key stands twice, again in line {key.start_mark.line + 1}")
        keys.add(key.value)


def _key(node: Node) -> str:
    return str(node.value)


def is_null(node: Node | None) -> bool:
    """Whether nothing is written there: the zero value of any field."""
    return node is None or node.tag == _NULL


def fields(node: Node | None) -> dict[str, Node]:
    """The values of a mapping by their keys.

    Raises:
        WrongKindError: it is none.
    """
    if is_null(node):
        return {}
    if not isinstance(node, MappingNode):
        raise WrongKindError("write key: value lines")
    return {key.value: value for key, value in node.value}


def text(node: Node | None) -> str:
    """What a string field gets: the text that the user wrote.

    Raises:
        WrongKindError: it is a list or a mapping.
    """
    if is_null(node):
        return ""
    if not isinstance(node, ScalarNode) or node.tag == f"{_TAG}binary":
        raise WrongKindError("write a text")
    return str(node.value)


def texts(node: Node | None) -> list[str]:
    """What a field of strings gets.

    Raises:
        WrongKindError: it is no list of texts.
    """
    if is_null(node):
        return []
    if not isinstance(node, SequenceNode):
        raise WrongKindError("write a list: [a, b]")
    return [text(each) for each in node.value]


def whole(node: Node | None) -> int:
    """What an int field gets.

    Raises:
        WrongKindError: it is no number, or one in quotes, which Go refuses, too.
    """
    if is_null(node):
        return 0
    value = _number(node.value) if isinstance(node, ScalarNode) and node.style is None else None
    if value is None or not -_INT64 <= value < _INT64:
        raise WrongKindError("write a number, without quotes")
    return value


def _number(written: str) -> int | None:
    plain = written.replace("_", "")
    if len(plain) > _MAX_NUMBER_CHARACTERS or not plain.isascii():
        return None
    digits = plain.lstrip("+-") if plain[1:2] not in ("+", "-") else ""
    base = _BASES.get(digits[:2].lower(), 8 if digits[:1] == "0" else 10)
    if digits.isalnum():
        try:
            return int(digits, base) * (-1 if plain[0] == "-" else 1)
        except ValueError:
            pass
    value = float(plain) if _FLOAT.fullmatch(plain) else None
    return int(value) if value is not None and abs(value) < _INT64 else None


def flag(node: Node | None) -> bool:
    """What a bool field gets.

    Raises:
        WrongKindError: it is neither true nor false.
    """
    if is_null(node):
        return False
    if isinstance(node, ScalarNode) and node.value in _TRUE | _FALSE:
        quoted_word = node.style is not None and node.value.lower() in ("true", "false")
        if not quoted_word:
            return node.value in _TRUE
    raise WrongKindError("write true or false, without quotes")
