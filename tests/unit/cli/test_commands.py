"""The commands as a person meets them: help, examples, environment variables."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mediafleet.commands import ENTRIES, app

GROUP: Any = typer.main.get_command(app)
NAMES = list(GROUP.commands)
LIGHT = ("egress-config", "wait-address")
SHARED = {"log_level", "log_json", "kubeconfig", "context", "settings"}


def context(name: str, arguments: list[str]) -> Any:
    """What typer makes of a command line; nothing runs."""
    above = GROUP.make_context("mediafleet", [], resilient_parsing=True)
    found, command, rest = GROUP.resolve_command(above, [name, *arguments])
    return command.make_context(found, rest, parent=above)


def test_the_help_lists_commands_in_the_order_of_use() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    places = [text.index(f"\n  {name} ") for name in NAMES]
    assert places == sorted(places)
    assert NAMES[:4] == ["simulate", "operator", "egress", "advertise"]
    inside = text.index("Inside pods")
    in_pods = {name for name in NAMES if text.index(f"\n  {name} ") > inside}
    assert in_pods == {"agent", "proxy-config", *LIGHT}


@pytest.mark.parametrize("name", [None, *NAMES])
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_is_not_wider_than_the_terminal_but_for_what_is_copied(
    name: str | None, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    above = GROUP.make_context("mediafleet", [], resilient_parsing=True)
    command = GROUP if name is None else GROUP.commands[name]
    here = command.make_context(name or "mediafleet", [], parent=above, resilient_parsing=True)
    text = here.get_help()
    text, _, examples = text.partition("\n  Example")
    assert [line for line in text.splitlines() if len(line) > columns] == []
    assert name is None or f"mediafleet {name}" in examples
    # No name of an option is cut.
    assert "…" not in text.replace("native_…", "").replace("--scaler-…", "")


@pytest.mark.parametrize(
    "example", [each for entry in ENTRIES for each in entry.examples], ids=lambda each: each
)
def test_every_example_is_a_command_line_that_is_accepted(example: str) -> None:
    program, name, *arguments = shlex.split(example)
    assert program == "mediafleet"
    context(name, arguments)


@pytest.mark.parametrize("name", [each for each in NAMES if each not in LIGHT])
def test_every_option_may_be_given_by_an_environment_variable_of_its_name(name: str) -> None:
    own = f"MEDIAFLEET_{name.replace('-', '_').replace(' ', '_').upper()}_"
    for option in GROUP.commands[name].params:
        if option.param_type_name == "argument" or option.name == "help":
            continue
        longest = max(option.opts, key=len).removeprefix("--").replace("-", "_").upper()
        if option.name == "settings":
            expected = "MEDIAFLEET_SETTINGS_FILE"
        else:
            expected = ("MEDIAFLEET_" if option.name in SHARED else own) + longest
        assert (option.envvar or f"{own}{option.name.upper()}") == expected


def test_a_value_that_is_none_of_several_is_told_without_a_word_of_the_library() -> None:
    result = CliRunner().invoke(app, ["status", "-o", "x"])
    assert "'x' is not one of 'table', 'wide', 'json', 'yaml'" in result.output
    assert "Value error" not in result.output


def test_a_variable_counts_and_the_command_line_counts_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEDIAFLEET_EGRESS_NAMESPACE", "media live")
    monkeypatch.setenv("MEDIAFLEET_LOG_LEVEL", "debug")
    given = context("egress", ["--kube", "--log-level", "error"]).params
    assert (given["namespace"], given["log_level"]) == (["media", "live"], "error")


@pytest.mark.parametrize("name", LIGHT)
def test_what_runs_at_the_start_of_a_pod_imports_no_typer(name: str) -> None:
    code = (
        "import sys; from mediafleet.main import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, *sorted({'typer', 'pydantic'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, name],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )
    assert done.stdout.split() == ["2"]
    assert done.stderr.startswith(f"usage: mediafleet {name}")


def test_what_an_orchestrator_reads_is_printed_beside_a_word_about_its_restart(
    tmp_path: Path,
) -> None:
    models = tmp_path / "models.yaml"
    models.write_text(
        "models: [{pipeline: llm, model: m, price_per_unit: 3}, {pipeline: llm, model: n}]"
    )
    arguments = ["broker", "ai-models", "--models", str(models), "--url", "http://b:8080/"]
    done = CliRunner().invoke(app, arguments)
    first, second = json.loads(done.stdout)
    assert (first["url"], first["price_per_unit"]) == ("http://b:8080/runners/llm/m", 3)
    assert second["price_per_unit"] == 0
    assert done.stderr.splitlines() == [
        "llm/n has no price: on-chain it needs one",
        "restart the orchestrator: it reads its -aiModels at its start alone",
    ]
