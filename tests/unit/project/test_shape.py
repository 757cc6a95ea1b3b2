"""The shape of the product: folders that can be overlooked, short chains, names that exist."""

import re
from pathlib import Path

import pytest
from docs import imports

from mediafleet_testbed.paths import REPOSITORY as ROOT

PRODUCT = ("common", "operator", "scheduler", "cli")
OF_OTHERS = {"docs/externalmetrics.md", "kopf/_core/reactor/running.py", "sitecustomize.py"}
"""In repositories of others, or written by a test."""


def folders() -> list[Path]:
    found = {path.parent for top in (*PRODUCT, "tests/kit") for path in (ROOT / top).rglob("*.py")}
    return sorted(each for each in found if each.name != "wire")


def packages() -> list[str]:
    graph = imports.graph()
    return sorted(each for each in graph.modules if graph.find_children(each))


def test_no_folder_of_the_product_or_of_the_test_kit_has_more_than_a_dozen_files() -> None:
    crowded = {}
    for folder in folders():
        name = str(folder.relative_to(ROOT))
        count = sum(each.name != "__init__.py" for each in folder.glob("*.py"))
        if count > 12:
            crowded[name] = count
    assert crowded == {}


@pytest.mark.parametrize("package", packages())
def test_no_chain_of_imports_inside_a_folder_is_longer_than_six(package: str) -> None:
    chain = imports.longest(imports.rooms(package))
    assert len(chain) - 1 <= 6, " > ".join(chain)


def test_folders_and_files_of_a_package_do_not_import_each_other_in_circles() -> None:
    circles = {
        f"{package}: {name}"
        for package in packages()
        for name, targets in imports.rooms(package).items()
        if any(name in imports.reached(imports.rooms(package), each) for each in targets)
    }
    assert circles == set()


TOPS = (*PRODUCT, "testbed", "tests", "bench", "docs")
PATH = re.compile(
    r"(?<![\w./<-])((?:common|operator|scheduler|cli|testbed|tests|docs|bench|charts|samples|proto)"
    r"/[\w./-]*\w)"
)
TEXTS = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("testbed/**/*.md"),
        *ROOT.glob("charts/**/README.md"),
        *(
            path
            for top in (*PRODUCT, "testbed", "tests", "bench")
            for path in ROOT.glob(f"{top}/**/*.py")
        ),
    ]
)


def test_every_path_that_a_text_names_exists() -> None:
    missing = {
        f"{text.relative_to(ROOT)}: {name}"
        for text in TEXTS
        for name in PATH.findall(text.read_text(encoding="utf-8"))
        # What measures cores names unit tests by their place in that tier.
        if not any((place / name).exists() for place in (ROOT, text.parent, ROOT / "tests/unit"))
        if name not in OF_OTHERS
    }
    assert missing == set()


def test_every_python_file_that_a_text_names_exists() -> None:
    files = {f"/{path.relative_to(ROOT)}" for top in TOPS for path in ROOT.glob(f"{top}/**/*.py")}
    ends = {path[at:] for path in files for at, sign in enumerate(path) if sign == "/"}
    missing = {
        f"{text.relative_to(ROOT)}: {name}"
        for text in TEXTS
        for name in re.findall(
            r"(?<![\w./*<{}>-])[\w/]+\.py\b(?!\w)", text.read_text(encoding="utf-8")
        )
        if f"/{name}" not in ends and name not in OF_OTHERS
    }
    assert missing == set()


def test_every_function_of_the_architecture_exists() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py):(\w+)`", text)
    assert len(named) > 5
    missing = [
        (path, name)
        for path, name in named
        if not re.search(rf"^(def|class) {name}\b", (ROOT / path).read_text(), re.M)
    ]
    assert missing == []


def test_every_path_of_the_glossary_exists_and_each_term_stands_once() -> None:
    rows = re.findall(
        r"^\| (.+?) \| .+ \| `(.+)` \|$", (ROOT / "docs/glossary.md").read_text(), re.M
    )
    terms = [term for term, _ in rows]
    assert len(terms) > 50
    assert sorted({*terms}) == sorted(terms)
    assert [path for _, path in rows if not (ROOT / path).exists()] == []
