"""`mediafleet simulate`: the table, JSON, the picture, and what is said of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet_scheduler.simulate import canvases, plotting
from mediafleet_scheduler.simulate.running import run
from mediafleet_scheduler.simulate.setup import Placing, Setup
from mediafleet_scheduler.simulate.traces import load

WIDE = {"COLUMNS": "200"}


def test_the_table_compares_all_ways_of_placing() -> None:
    result = CliRunner().invoke(app, ["simulate", "burst"], env=WIDE)
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert list(rows)[2:8] == [each.value for each in Placing]
    assert "51 jobs, 10 pods of 16 CPUs" in result.output


def test_json_has_the_figures_of_each_mode() -> None:
    arguments = ["simulate", "burst", "--mode", "pack", "--pods", "2", "-o", "json"]
    result = CliRunner().invoke(app, arguments)
    told = json.loads(result.output)
    assert (told["pods"], told["cpu_cost"]["track"]) == (2, 0.5)
    assert list(told["modes"]) == ["pack"]
    pack = told["modes"]["pack"]
    assert (pack["placed"], pack["refused"], pack["pods_needed"]) == (50, 1, 3)
    assert pack["refused_by_type"] == {"track": 1}


def test_costs_are_those_that_are_given() -> None:
    arguments = ["simulate", "burst", "--mode", "pack", "--cost", "track=12.8", "-o", "json"]
    told = json.loads(CliRunner().invoke(app, arguments).output)
    assert told["modes"]["pack"]["placed"] == 10


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["no.csv"], "no such file, and no trace of burst, day, mixed"),
        (["burst", "--cost", "movie=3"], "--cost movie: Extra inputs are not permitted"),
        (["burst", "--cost", "track"], "write TYPE=CPUS"),
        (["burst", "--plot", "a.gif"], "the name ends in .svg or .png"),
    ],
)
def test_bad_input_is_told_what_to_correct(arguments: list[str], wanted: str) -> None:
    result = CliRunner().invoke(app, ["simulate", *arguments], env=WIDE)
    assert result.exit_code == 2
    assert wanted in " ".join(result.output.replace("│", " ").split())


def test_a_picture_has_a_panel_for_each_way_and_marks_what_was_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    arguments = ["simulate", "burst", "--pods", "2", "--mode", "pack", "--mode", "upstream"]
    result = CliRunner().invoke(app, [*arguments, "--plot", str(path)])
    assert result.exit_code == 0, result.output
    svg = ElementTree.fromstring(path.read_text("utf-8"))
    texts = [each.text for each in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "pack: 1 of 51 refused" in texts
    assert sum(": " in (text or "") for text in texts) == 3


def test_a_png_is_the_same_picture_at_twice_the_size(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    arguments = ["simulate", "burst", "--mode", "spread", "--plot", str(path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    runs = {Placing.SPREAD: run(load("burst"), Setup(), Placing.SPREAD)}
    width, height = plotting.size(runs, Setup())
    assert data[16:24] == (2 * width).to_bytes(4, "big") + (2 * height).to_bytes(4, "big")


def test_without_pillow_a_png_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(canvases.NoPillowError, match=r"pip install 'mediafleet\[plot\]'"):
        canvases.PngCanvas(10, 10)


def test_a_pod_that_is_full_all_the_time_is_as_dark_as_can_be() -> None:
    setup = Setup(pods=2, cpu=4.0)
    outcomes = run(load("burst")[:8], setup, Placing.PACK)
    span = max(each.ended or 0.0 for each in outcomes)
    first, second = plotting.fullness(outcomes, setup, span)
    assert max(first) == pytest.approx(0.75, abs=0.01)
    assert max(second) == pytest.approx(0.25, abs=0.01)
    assert min(first[10:100]) > 0.5


@pytest.mark.parametrize(
    ("seconds", "span", "wanted"),
    [(0, 9, "0"), (5, 9, "5.0 s"), (90, 600, "1.5 min"), (5400, 86400, "1.5 h")],
)
def test_an_axis_speaks_in_one_unit(seconds: float, span: float, wanted: str) -> None:
    assert plotting.moment(seconds, span) == wanted
