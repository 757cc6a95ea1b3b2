"""YAML read as Go's yaml.v3 reads it into fields of a type."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yaml.nodes import Node

from mediafleet_common.formats import go_yaml
from mediafleet_common.formats.go_yaml import BadYamlError, WrongKindError


def value(written: str) -> Node | None:
    return go_yaml.fields(go_yaml.document(f"key: {written}\n")).get("key")


@pytest.mark.parametrize(
    "written", ["123456", "01234567", "no", "on", "2024-11-28", "1.10", "0x1F", "12:30:45", ":6379"]
)
def test_a_string_field_gets_the_text_as_it_was_written(written: str) -> None:
    assert go_yaml.text(value(written)) == written


@pytest.mark.parametrize("written", ["", "~", "null", "# a comment"])
@pytest.mark.parametrize(
    ("read", "zero"),
    [
        (go_yaml.text, ""),
        (go_yaml.whole, 0),
        (go_yaml.flag, False),
        (go_yaml.texts, []),
        (go_yaml.fields, {}),
    ],
)
def test_nothing_written_is_the_zero_value(
    read: Callable[[Node | None], object], zero: object, written: str
) -> None:
    assert read(value(written)) == zero


@pytest.mark.parametrize(
    ("written", "number"),
    [
        *[("12", 12), ("-1", -1), ("+7", 7), ("0x1F", 31), ("017", 15), ("0o17", 15), ("08", 8)],
        *[("1_000", 1000), ("3.7", 3), ("1e3", 1000), ("0b11", 3), ("-0x1F", -31)],
    ],
)
def test_an_int_field(written: str, number: int) -> None:
    assert go_yaml.whole(value(written)) == number


@pytest.mark.parametrize(
    "written", ["'3'", "three", "[3]", "1e30", "0x", "0x0x1", "0o0o7", "٣", "9" * 30, "--1", "X12"]
)
def test_what_an_int_field_refuses(written: str) -> None:
    with pytest.raises(WrongKindError, match="without quotes"):
        go_yaml.whole(value(written))


@pytest.mark.parametrize(
    ("written", "truth"),
    [("true", True), ("yes", True), ("'on'", True), ("Off", False), ("n", False), ("FALSE", False)],
)
def test_a_bool_field(written: str, truth: bool) -> None:
    assert go_yaml.flag(value(written)) is truth


@pytest.mark.parametrize("truth", [True, False])
def test_a_truth_is_one_of_eleven_words(truth: bool) -> None:
    words = ("true", "y", "yes", "on") if truth else ("false", "n", "no", "off")
    for word in words:
        for written in (word, word.capitalize(), word.upper()):
            assert go_yaml.flag(value(written)) is truth, written


@pytest.mark.parametrize("written", ["'true'", "1", "tRuE", "[true]"])
def test_what_a_bool_field_refuses(written: str) -> None:
    with pytest.raises(WrongKindError, match="true or false"):
        go_yaml.flag(value(written))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "in line"),
        ("a: 1\na: 2\n", "stands twice, again in line 2"),
        ("? [a]\n: b\n", "no plain text"),
        ("[" * 40 + "]" * 40, "nested"),
        ("[" * 100_000, "nested"),
        ("a: \x00", "character"),
        ("a: *canary", "not YAML in line 1"),
        ("a: !!python/name:os.system canary", ""),
        ("&a [*a]", ""),
    ],
)
def test_what_is_no_yaml_is_told_without_a_piece_of_it(text: str, words: str) -> None:
    if not words:
        go_yaml.document(text)
        return
    with pytest.raises(BadYamlError, match=words) as told:
        go_yaml.document(text)
    assert "canary" not in str(told.value)


def test_merged_keys_are_in_place_and_ones_own_win() -> None:
    node = go_yaml.document("base: &b {x: 1, y: 2}\nmine:\n  <<: *b\n  y: 3\n")
    mine = go_yaml.fields(go_yaml.fields(node)["mine"])
    assert {key: go_yaml.whole(each) for key, each in mine.items()} == {"x": 1, "y": 3}


@given(st.text(max_size=60))
def test_nothing_but_typed_errors_comes_out(text: str) -> None:
    try:
        node = go_yaml.document(text)
        for read in (go_yaml.fields, go_yaml.text, go_yaml.whole, go_yaml.flag, go_yaml.texts):
            read(node)
    except (BadYamlError, WrongKindError):
        pass
