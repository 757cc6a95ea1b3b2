"""What a process says that cannot start: everything that is wrong, at once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mediafleet.commands import app

BROKEN = {
    "settings.yaml": "egress: {nonsense: 1}\nadvertise: {nonsense: 1}\nbroker: {nonsense: 1}\n"
    "operator: {nonsense: 1}\n",
    "workers.yaml": "fleets: 7\n",
    "nodes.yaml": "nodes: 7\n",
    "models.yaml": "models: 7\n",
    "endpoints.yaml": "endpoints: 7\n",
    "community.yaml": "k: 1\n",
    "empty": "",
}
WRONG = {
    "egress": (
        (
            "--workers workers.yaml --redis http://redis --settings settings.yaml --http 8080 "
            "--http-token-file empty"
        ),
        ["fleets: ", "--redis: ", "egress.nonsense", "'8080' is not HOST:PORT", "it is empty"],
    ),
    "advertise": (
        (
            "--nodes nodes.yaml --settings settings.yaml --http 8080 --listen 8935 "
            "--probe-key empty --community community.yaml --http-token-file empty"
        ),
        [
            *("nodes: ", "advertise.nonsense", "'8080' is not", "'8935' is not"),
            *("--probe-key ", "--community community.yaml: ", "it is empty"),
        ],
    ),
    "broker": (
        (
            "--models models.yaml --secret-file empty --settings settings.yaml --listen 8935 "
            "--workers-file models.yaml --redis http://redis --api-token-file none "
            "--http-token-file empty"
        ),
        [
            *("models: ", "broker.nonsense", "'8935' is not", "--redis: write redis://"),
            *(
                "models.yaml: workers: ",
                "none: ",
                "empty: ",
                "--http-token-file empty: it is empty",
            ),
        ],
    ),
    "operator": (
        "--settings settings.yaml --redis-endpoints endpoints.yaml --http 8080",
        ["operator.nonsense", "--redis-endpoints endpoints.yaml: ", "'8080' is not"],
    ),
}


@pytest.mark.parametrize("command", WRONG)
def test_a_start_that_fails_names_all_that_is_wrong_at_once(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, content in BROKEN.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mediafleet_common.serving.logs.configure", lambda *_: None)
    options, wrong = WRONG[command]
    ended = CliRunner().invoke(app, [command, *options.split()])
    assert ended.exit_code == 1
    said = [each.getMessage() for each in caplog.records if each.levelno == logging.CRITICAL]
    assert [each for each in wrong if not any(each in line for line in said)] == [], said
    assert len(said) == len(wrong), "each on a line of its own"
