"""`mediafleet simulate`: the table, JSON, the picture, and what is said of bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import matplotlib
import pytest
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet.simulate import runs
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.simulate import plot
from mediafleet_scheduler.simulate.running import run
from mediafleet_scheduler.simulate.setup import Placing, Setup
from mediafleet_scheduler.simulate.traces import load

WIDE = {"COLUMNS": "200"}
RUNS = {Placing.SPREAD: run(load("burst"), Setup(), Placing.SPREAD)}


def test_the_table_compares_all_ways_of_placing() -> None:
    result = CliRunner().invoke(app, ["simulate", "burst"], env=WIDE)
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert list(rows)[2:8] == [each.value for each in Placing]
    assert "51 jobs, 10 pods of 16 CPUs" in result.output


def test_a_narrow_terminal_has_no_line_of_more_than_60_columns() -> None:
    result = CliRunner().invoke(app, ["simulate", "burst"], env={"COLUMNS": "60"})
    assert result.exit_code == 0, result.output
    table = result.output.splitlines()
    ways = [line.split()[0] for line in table if line.startswith(("pack", "upstream"))]
    assert ways == ["pack", "upstream", "pack", "upstream"], "once for clients, once for pods"
    assert max(map(len, table)) <= 60


def test_what_was_refused_of_many_types_is_wrapped_on_a_narrow_terminal(tmp_path: Path) -> None:
    kinds = [each for each in RequestType if each is not RequestType.TRACK]
    trace = tmp_path / "full.csv"
    lines = [f"0,{kind.value},600" for kind in kinds for _ in range(12)]
    trace.write_text("\n".join(["time,type,duration", *lines]))
    arguments = ["simulate", str(trace), "--pods", "1", "--mode", "pack"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "60"})
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert max(map(len, lines[1:])) <= 60, "but for the name of the file"
    assert all(kind.value in result.output for kind in kinds)


def test_json_has_the_figures_of_each_mode() -> None:
    arguments = ["simulate", "burst", "--mode", "pack", "--pods", "2", "-o", "json"]
    result = CliRunner().invoke(app, arguments)
    told = json.loads(result.output)
    assert (told["pods"], told["cpu_cost"]["track"]) == (2, 0.5)
    assert list(told["modes"]) == ["pack"]
    pack = told["modes"]["pack"]
    assert (pack["placed"], pack["refused"], pack["pods_needed"]) == (50, 1, 3)
    assert pack["refused_by_type"] == {"track": 1}


def test_ways_in_processes_side_by_side_come_to_the_same_and_say_how_far_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs, setup, ways = load("mixed"), Setup(pods=9), [Placing.PACK, Placing.SPREAD]
    heard: dict[Placing, list[runs.News]] = {each: [] for each in ways}
    apart = runs.run_all(jobs, setup, ways, lambda each, news: heard[each].append(news))
    told = {each: list(news) for each, news in heard.items()}
    monkeypatch.setattr(runs, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for news in heard.values():
        news.clear()
    assert runs.run_all(jobs, setup, ways, lambda each, news: heard[each].append(news)) == apart
    assert heard == told
    assert list(apart) == ways


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
        (["burst", "--plot", "no-such-folder/a.svg"], "it cannot be written there"),
        (["burst", "--memory-cost", "2"], "--memory-cost needs --max-memory"),
        (["burst", "--max-memory", "0.5"], "Input should be greater than 1"),
    ],
)
def test_bad_input_is_told_what_to_correct(arguments: list[str], wanted: str) -> None:
    result = CliRunner().invoke(app, ["simulate", *arguments], env=WIDE)
    assert result.exit_code == 2
    assert wanted in " ".join(result.output.replace("│", " ").split())


def test_a_picture_has_a_panel_for_each_way_and_says_what_was_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    arguments = ["simulate", "burst", "--pods", "2", "--mode", "pack", "--mode", "upstream"]
    result = CliRunner().invoke(app, [*arguments, "--plot", str(path)])
    assert result.exit_code == 0, result.output
    svg = ElementTree.fromstring(path.read_text("utf-8"))
    texts = [each.text or "" for each in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[-1] == "refused"
    assert {"pack: 1 of 51 refused", "minutes", "CPUs taken", "2 pods"} <= set(texts)
    assert sum(": " in each for each in texts) == 3


def test_a_png_is_wide_enough_to_be_sharp_on_every_screen() -> None:
    data = plot.picture(RUNS, Setup(), "burst", "png")
    assert data.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(data[16:20], "big") == 1200


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_run_gives_the_same_bytes_whatever_the_user_has_set(
    kind: Literal["png", "svg"],
) -> None:
    first = plot.picture(RUNS, Setup(), "a $ in a name_ of $ a file", kind)
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "svg.hashsalt": None}):
        assert plot.picture(RUNS, Setup(), "a $ in a name_ of $ a file", kind) == first
        assert matplotlib.rcParams["axes.facecolor"] == "black"
    assert b"dc:date" not in first


def test_a_picture_of_the_largest_fleet_and_of_no_job_is_drawn() -> None:
    runs = {Placing.PACK: run([], Setup(pods=2000), Placing.PACK)}
    assert b"2000 pods" in plot.picture(runs, Setup(pods=2000), "empty", "svg")


def test_without_matplotlib_the_table_comes_and_the_picture_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    path = tmp_path / "a.svg"
    result = CliRunner().invoke(app, ["simulate", "burst", "--plot", str(path)], env=WIDE)
    assert result.exit_code == 1
    assert "51 jobs" in result.output
    assert "--plot needs matplotlib: pip install 'mediafleet[plot]'" in result.output
    assert not path.exists()


def test_matplotlib_is_imported_for_a_picture_alone_and_pyplot_never() -> None:
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from mediafleet.commands import app\n"
        "from mediafleet_scheduler.simulate import plot, setup\n"
        "assert CliRunner().invoke(app, ['simulate', 'burst', '--mode', 'pack']).exit_code == 0\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plot.picture({setup.Placing.PACK: []}, setup.Setup(), 'a', 'png')\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_pod_that_is_full_all_the_time_is_as_dark_as_can_be() -> None:
    setup = Setup(pods=2, cpu=4.0)
    outcomes = run(load("burst")[:8], setup, Placing.PACK)
    span = max(each.ended or 0.0 for each in outcomes)
    first, second = plot.fullness(outcomes, setup, span)
    assert max(first) == pytest.approx(0.75, abs=0.01)
    assert max(second) == pytest.approx(0.25, abs=0.01)
    assert min(first[10:100]) > 0.5


@pytest.mark.parametrize(
    ("span", "wanted"),
    [(9, "seconds"), (600, "minutes"), (7200, "minutes"), (86400, "hours"), (0.2, "seconds")],
)
def test_an_axis_speaks_in_one_unit(span: float, wanted: str) -> None:
    assert plot.unit(span)[0] == wanted
