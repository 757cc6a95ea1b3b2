"""Draws the land of the world map: `python -m docs.land world-atlas-2.0.2.tgz`.

Takes the npm package world-atlas (`npm pack world-atlas`; ISC) and writes one SVG and the
package's licence beside the page. The projection is Lambert's cylindrical equal-area one, true
at 37.5 degrees: areas can be compared, and a bin of the grid is a rectangle.
"""

from __future__ import annotations

import json
import math
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ASSETS: Final = (
    Path(__file__).resolve().parent.parent / "scheduler/mediafleet_scheduler/community/assets"
)
PARALLEL: Final = math.cos(math.radians(37.5))
WIDTH: Final = 360 * PARALLEL
HEIGHT: Final = 2 * math.degrees(1) / PARALLEL

Point = tuple[float, float]


def arcs(topology: dict[str, Any]) -> list[list[Point]]:
    """Each arc in degrees: they are stored as differences on a grid of whole numbers."""
    (scale_x, scale_y), (left, bottom) = (
        topology["transform"]["scale"],
        topology["transform"]["translate"],
    )
    found = []
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            points.append((x * scale_x + left, y * scale_y + bottom))
        found.append(points)
    return found


def rings(geometry: dict[str, Any], known: list[list[Point]]) -> Iterator[list[Point]]:
    """The closed lines of a geometry; arc ~n is arc n backwards."""
    if geometry["type"] == "GeometryCollection":
        for each in geometry["geometries"]:
            yield from rings(each, known)
        return
    polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
    for polygon in polygons:
        for ring in polygon:
            points: list[Point] = []
            for arc in ring:
                points += known[arc] if arc >= 0 else known[~arc][::-1]
            yield points


def unwrapped(points: list[Point]) -> list[Point]:
    """A ring without jumps from one edge of the map to the other: it goes on beyond the edge.

    One that goes around the pole is closed along it.
    """
    found = [points[0]]
    for east, north in points[1:]:
        turns = round((found[-1][0] - east) / 360)
        found.append((east + 360 * turns, north))
    if abs(found[-1][0] - found[0][0]) > 180:
        found += [(found[-1][0], -90), (found[0][0], -90)]
    return found


def path(points: list[Point]) -> str:
    """A ring on the map, rounded to a tenth; what lies beyond an edge comes in at the other."""
    ring = unwrapped(points)
    west, east = min(x for x, _ in ring), max(x for x, _ in ring)
    shifts = [0, *([-360] if east > 180.1 else []), *([360] if west < -180.1 else [])]
    return "".join(_drawn([(x + shift, y) for x, y in ring]) for shift in shifts)


def _drawn(ring: list[Point]) -> str:
    drawn = list(dict.fromkeys(f"{x:.1f},{y:.1f}" for x, y in map(placed, ring)))
    return f"M{' '.join(drawn)}Z" if len(drawn) > 2 else ""


def placed(point: Point) -> Point:
    """Degrees east and north on the map, from its upper left corner."""
    east, north = point
    return (east + 180) * PARALLEL, HEIGHT / 2 - math.degrees(
        math.sin(math.radians(north))
    ) / PARALLEL


def main(package: str) -> None:
    """Write the files."""
    with tarfile.open(package) as tar:
        topology = json.load(tar.extractfile("package/land-110m.json") or sys.exit("no land"))
        licence = (tar.extractfile("package/LICENSE") or sys.exit("no licence")).read()
    known = arcs(topology)
    drawn = "".join(path(ring) for ring in rings(topology["objects"]["land"], known))
    (ASSETS / "land.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.1f} {HEIGHT:.1f}">'
        f'<path fill="#888" d="{drawn}"/></svg>\n'
    )
    (ASSETS / "land.LICENSE").write_bytes(licence)


if __name__ == "__main__":
    main(sys.argv[1])
