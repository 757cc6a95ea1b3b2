"""`mediafleet simulate --autoscaling`: its table, JSON, picture, and what does not go together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from mediafleet.commands import app

NARROW = {"COLUMNS": "60"}
WAYS = ["fixed", "builtin", "observe", "apply", "keda", "hpa"]


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ten minutes, and then a rush of pages and tracks."""
    file = tmp_path_factory.mktemp("trace") / "rush.csv"
    lines = [f"{600 + n % 3},{'web' if n % 4 else 'track'},600" for n in range(24)]
    file.write_text("\n".join(["time,type,duration", "0,track,60", *lines]))
    return str(file)


def simulate(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["simulate", *arguments, "--autoscaling"], env=NARROW)


def test_a_table_of_60_columns_a_picture_and_what_the_words_mean(
    trace: str, tmp_path: Path
) -> None:
    picture = tmp_path / "a.svg"
    result = simulate(trace, "--pods", "8", "--plot", str(picture))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()[1:]
    assert max(map(len, lines)) <= 60
    cells = [line.split() for line in lines if line.strip()]
    rows = {each[0]: each[1:] for each in cells if each[-1].isdigit()}
    assert [name for name in rows if name in WAYS] == WAYS
    assert rows["fixed"][0] == "0"
    assert rows["observe"] == rows["builtin"]
    assert int(rows["apply"][0]) <= int(rows["builtin"][0])
    svg = ElementTree.fromstring(picture.read_text("utf-8"))
    texts = " ".join(each.text or "" for each in svg.iter("{http://www.w3.org/2000/svg}text"))
    assert "fixed: nothing refused" in texts
    assert {"pods", "forecast", "jobs"} <= set(texts.split())


def test_json_has_the_figures_and_what_they_rest_on(trace: str) -> None:
    result = simulate(
        trace, "--pods", "8", "--min", "2", "--queue", "10s", "--pod-start", "20s", "-o", "json"
    )
    told = json.loads(result.stdout)
    assert (told["min"], told["max"], told["pod_start_seconds"]) == (2, 8, 20)
    assert told["wait_seconds"] == pytest.approx(34.5)
    assert list(told["engines"]) == WAYS
    for each in told["engines"].values():
        assert each["placed"] + each["refused"] == told["jobs"] == 25
        assert each["pods_mean"] <= each["pods_most"] * 1.01 <= 2 * 8


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("burst", "--mode", "pack"), "--mode is not for --autoscaling"),
        (("burst", "--min", "9", "--pods", "3"), "--min 9 is above --pods 3"),
        (("burst", "--pod-start", "soon"), "--pod-start"),
        (("burst", "--plot", "no-such-folder/a.svg"), "it cannot be written there"),
    ],
)
def test_what_does_not_go_together_is_refused_before_it_runs(
    arguments: tuple[str, ...], wanted: str
) -> None:
    result = simulate(*arguments)
    assert result.exit_code == 2
    assert wanted in " ".join(result.output.replace("│", " ").split())
