"""The settings file: what it gives, and what it says of a mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from docs import generate

from mediafleet_common.serving import settings_file
from mediafleet_common.serving.run import CannotStartError


@dataclass(frozen=True, slots=True)
class Inner:
    failures: int = 3
    hold_seconds: float = 30.0
    attempts: int | None = 3


@dataclass(frozen=True, slots=True)
class Outer:
    wait_seconds: float = 0.2
    inner: Inner = field(default_factory=Inner)


def read(tmp_path: Path, text: str) -> Outer:
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return settings_file.read(path, "egress", Outer)


def test_without_a_file_or_a_section_the_defaults_hold(tmp_path: Path) -> None:
    assert settings_file.read(None, "egress", Outer) == Outer()
    assert read(tmp_path, "") == Outer()
    assert read(tmp_path, "operator: {whatever: it says}\n") == Outer()


def test_what_is_given_counts_and_the_rest_keeps_its_default(tmp_path: Path) -> None:
    text = "egress:\n  wait_seconds: 1\n  inner:\n    hold_seconds: 5\n"
    assert read(tmp_path, text) == Outer(1.0, Inner(3, 5.0))


def test_a_setting_that_may_be_without_a_limit_takes_null(tmp_path: Path) -> None:
    assert read(tmp_path, "egress: {inner: {attempts: null}}").inner.attempts is None
    assert read(tmp_path, "egress: {inner: null}") == Outer()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("egress: {wait: 1}", "egress.wait: there is no such setting; there are wait_seconds"),
        ("egress: {inner: {hold: 1}}", "egress.inner.hold: there is no such setting; there are f"),
        ("egress: {wait_seconds: -1}", "egress.wait_seconds: Input should be greater than"),
        ("egress: {inner: {attempts: -1}}", "egress.inner.attempts: Input should be greater"),
        ("egress: {wait_seconds: soon}", "egress.wait_seconds: Input should be a valid number"),
        ("egress: {wait_seconds: .inf}", "egress.wait_seconds: Input should be a finite number"),
        ("desk: {}", "desk: no such section; there are egress, advertise, operator, b"),
        ("[]", "it is not a mapping"),
        ("egress: [", "while parsing"),
    ],
)
def test_a_mistake_is_named_with_its_field_and_what_to_write(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(CannotStartError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)


def test_all_mistakes_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match=r"wait_seconds: .*; egress\.inner\.hold: there"):
        read(tmp_path, "egress: {wait_seconds: -1, inner: {hold: 1}}")


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="No such file"):
        settings_file.read(tmp_path / "none.yaml", "egress", Outer)


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"[" * 100_000, b"egress: 2024-99-99", b"#" * (2 << 20)],
    ids=["not UTF-8", "deep", "no date", "too large"],
)
def test_no_content_of_the_file_ends_in_a_traceback(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "settings.yaml"
    file.write_bytes(content)
    with pytest.raises(CannotStartError):
        settings_file.read(file, "egress", Outer)


def test_each_section_has_its_settings_in_the_documentation() -> None:
    assert tuple(generate.SETTINGS) == settings_file.SECTIONS


@pytest.mark.parametrize("path", ["/dev/zero", "/", "a\0b"])
def test_a_path_that_is_no_file_is_told(path: str) -> None:
    with pytest.raises(CannotStartError):
        settings_file.read(Path(path), "egress", Outer)
