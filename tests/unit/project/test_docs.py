"""What the documentation says, held to the code."""

import re
from pathlib import Path

import pytest
from docs import generate

from mediafleet_common.api.names import Reason
from mediafleet_operator.core.status import conditions
from mediafleet_testbed.paths import REPOSITORY

ROOT = REPOSITORY
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("charts/*/README.md")],
    key=str,
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_in_it(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8"))
    broken = []
    for file, heading in links:
        target = page.parent / file if file else page
        if not target.exists() or (heading and heading not in headings(target)):
            broken.append(f"{file}#{heading}")
    assert broken == []


def headings(page: Path) -> set[str]:
    """A page's headings as the ends of links to them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).strip().replace(" ", "-") for each in found}


def test_the_runbook_explains_every_reason_and_condition() -> None:
    text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    words = set(re.findall(r"[A-Za-z]+", text))
    assert {reason.value for reason in Reason} - words == set()
    assert {condition.value for condition in conditions._FINDERS} - words == set()
    # And no other: somebody would wait for it in vain.
    rows = re.findall(r"^\| ([\w, ]+?)(?: \(Event\))? \|", text.split("## Reasons")[1], re.M)
    told = {each for row in rows for each in row.split(", ")} - {"reason"}
    assert told - {reason.value for reason in Reason} == set()


def test_every_decision_is_in_the_table_of_decisions() -> None:
    folder = ROOT / "docs/adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in folder.glob("[0-9]*.md")}
    assert {name for name in pages if f"({name})" not in index} == set()


def test_every_chart_value_has_a_meaning() -> None:
    text = (generate.CHART / "values.yaml").read_text(encoding="utf-8")
    said = {path for path, _ in generate.said(text)}
    unsaid = [
        path
        for path in generate.leaves(text)
        if not any(path == each or path.startswith(f"{each}.") for each in said)
    ]
    assert unsaid == []
