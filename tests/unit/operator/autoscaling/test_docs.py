"""What the pages on autoscaling show can be pasted, and what they say of KEDA's trigger is so."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import API_VERSION, Kind
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.scaling.autoscaling import Engine, WorkType
from mediafleet_common.reports.demand import SESSION
from mediafleet_operator.core.autoscaling.model import policy
from mediafleet_operator.core.autoscaling.schedule import bounds
from mediafleet_testbed.paths import REPOSITORY

FOLDER: Final = REPOSITORY / "docs/autoscaling"
PAGES: Final = {
    "builtin": Engine.BUILTIN,
    "keda": Engine.KEDA,
    "hpa": Engine.HPA,
}
MODELS: Final[dict[str, type[EgressFleetSpec] | type[OrchestratorPoolSpec]]] = {
    Kind.EGRESS_FLEET.value: EgressFleetSpec,
    Kind.ORCHESTRATOR_POOL.value: OrchestratorPoolSpec,
}


def examples(page: str) -> list[dict[str, Any]]:
    """Our resources on a page."""
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    return [each for each in blocks if each.get("apiVersion") == API_VERSION]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_its_engine_in_an_example_that_is_accepted(page: str) -> None:
    found = examples(page)
    assert found
    for each in found:
        spec = MODELS[each["kind"]].model_validate(each["spec"])
        assert spec.autoscaling is not None
        assert spec.autoscaling.engine is PAGES[page]
        assert bounds(policy(spec.autoscaling), 1_800_000_000.0)


def test_room_can_be_counted_in_every_type_of_work() -> None:
    assert {each.value for each in WorkType} == {*(each.value for each in RequestType), SESSION}
