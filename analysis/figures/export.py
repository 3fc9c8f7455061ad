"""Figures as self-contained HTML, PNG and SVG."""

import asyncio
from collections.abc import Mapping

from choreographer.errors import BrowserClosedError, BrowserFailedError, ChromeNotFoundError
from kaleido import Kaleido
from kaleido.errors import KaleidoError
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs


class FigureError(RuntimeError):
    """A figure that cannot be drawn to a file. Its message says what is needed."""


def to_html(figure: Figure) -> str:
    """Return a page that shows the figure without network."""
    page: str = figure.to_html(include_plotlyjs=True)
    return page


def sized(figure: Figure, *, width: int = 1100, height: int = 640) -> Figure:
    """Return a copy of a figure made elsewhere, with a size in pixels and legible text where it has set none."""
    copy = Figure(figure)
    copy.update_layout(width=copy.layout.width or width, height=copy.layout.height or height)
    copy.update_layout(font_size=copy.layout.font.size or 16)
    return copy


def to_json(figure: Figure) -> str:
    """Return the figure's data and layout as plotly.js takes them, safe inside a page."""
    described: str = figure.to_json()
    return described.replace("<", "\\u003c")


def plot_script() -> str:
    """Return plotly.js, to be put into a page once."""
    script: str = get_plotlyjs()
    return script


def to_png(figures: Mapping[str, Figure], *, scale: float = 2) -> dict[str, bytes]:
    """Draw figures, all in one headless browser; `scale` is image pixels per layout pixel."""
    return _drawn(figures, "png", scale)


def to_svg(figures: Mapping[str, Figure]) -> dict[str, bytes]:
    """Draw figures as vectors, for papers."""
    return _drawn(figures, "svg", 1)


def _drawn(figures: Mapping[str, Figure], kind: str, scale: float) -> dict[str, bytes]:
    try:
        # Not kaleido's server: without a browser its thread dies, and its caller waits for ever.
        return asyncio.run(_draw(figures, kind, scale)) if figures else {}
    except (ChromeNotFoundError, BrowserFailedError, BrowserClosedError) as error:
        raise FigureError(
            "figures: PNG export needs a Chromium browser, got none that starts. "
            "Install chromium (Debian: apt-get install chromium), or put its path into BROWSER_PATH."
        ) from error
    except KaleidoError as error:
        raise FigureError(f"figures: must be drawable by plotly, got an error: {error}. Report it.") from error


async def _draw(figures: Mapping[str, Figure], kind: str, scale: float) -> dict[str, bytes]:
    drawn = {}
    async with Kaleido() as browser:
        for name, figure in figures.items():
            size = {"width": figure.layout.width, "height": figure.layout.height}
            drawn[name] = await browser.calc_fig(figure, opts={"format": kind, "scale": scale, **size})
    return drawn
