"""The picture that `make quick` leaves."""

from pathlib import Path
from xml.etree import ElementTree

from mediafleet_testbed.demo import picture
from mediafleet_testbed.load.bursts import Burst
from mediafleet_testbed.paths import REPOSITORY


def words(path: Path) -> str:
    """The text of an SVG."""
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    return " ".join("".join(root.itertext()).replace("\xa0", " ").split())


def test_both_bursts_are_drawn_with_their_counts_and_nothing_is_loaded(tmp_path: Path) -> None:
    stock = Burst("upstream auction", {"pod-0": 19, "pod-1": 0}, [0.5], 0)
    ours = Burst("spread", {"pod-0": 10, "pod-1": 9}, [0.1], 0)
    picture.write(tmp_path / "quick.svg", stock, ours)
    text = words(tmp_path / "quick.svg")
    assert "19 on the fullest, 0 on the emptiest" in text
    assert "10 on the fullest, 9 on the emptiest" in text
    assert "url(http" not in text
    assert "@font-face" not in text


def test_the_picture_in_the_readme_is_of_this_making() -> None:
    text = words(REPOSITORY / "docs/quick.svg")
    assert "51 StartEgress at once on 10 workers" in text
    assert "mediafleet, mode spread" in text
    assert "docs/quick.svg" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
