"""Three strokes on two canvases: SVG, written here, and PNG, by Pillow (`mediafleet[plot]`)."""

from __future__ import annotations

import io
from types import ModuleType
from typing import Final, Protocol
from xml.sax.saxutils import escape

FONT_SIZE: Final = 13


class NoPillowError(RuntimeError):
    """PNG was asked for and Pillow is not installed."""


class Canvas(Protocol):
    """Draws; units are pixels from the top left corner, colours are `#rrggbb`."""

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""

    def text(self, x: float, y: float, words: str, colour: str, *, right: bool = False) -> None:
        """Words from `x` on, or with `right` up to `x`; `y` is their middle."""

    def picture(self) -> bytes:
        """All that was drawn."""


class SvgCanvas:
    """SVG of rectangles and text."""

    def __init__(self, width: int, height: int) -> None:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="{FONT_SIZE}" '
            'shape-rendering="crispEdges">'
        )
        self._parts = [head]

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{colour}"/>'
        )

    def text(self, x: float, y: float, words: str, colour: str, *, right: bool = False) -> None:
        """Words beside a point."""
        anchor = ' text-anchor="end"' if right else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" dy=".35em" fill="{colour}"{anchor}>{escape(words)}</text>'
        )

    def picture(self) -> bytes:
        """The document."""
        return "\n".join([*self._parts, "</svg>", ""]).encode()


class PngCanvas:
    """PNG at twice the size, so that it is sharp on every screen."""

    _SCALE: Final = 2

    def __init__(self, width: int, height: int) -> None:
        pillow = _pillow()
        scaled = (width * self._SCALE, height * self._SCALE)
        self._image = pillow.Image.new("RGB", scaled, "#ffffff")
        self._draw = pillow.ImageDraw.Draw(self._image)
        self._font = pillow.ImageFont.load_default(FONT_SIZE * self._SCALE)

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        left, top = round(x * self._SCALE), round(y * self._SCALE)
        right, bottom = round((x + width) * self._SCALE), round((y + height) * self._SCALE)
        if right > left and bottom > top:
            self._draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)

    def text(self, x: float, y: float, words: str, colour: str, *, right: bool = False) -> None:
        """Words beside a point."""
        at = (x * self._SCALE, y * self._SCALE)
        self._draw.text(at, words, fill=colour, font=self._font, anchor="rm" if right else "lm")

    def picture(self) -> bytes:
        """The file."""
        file = io.BytesIO()
        self._image.save(file, "PNG", optimize=True)
        return file.getvalue()


def _pillow() -> ModuleType:
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError as error:
        raise NoPillowError(
            "PNG needs Pillow: pip install 'mediafleet[plot]', or write a .svg"
        ) from error
    return PIL
