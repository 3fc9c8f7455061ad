"""Export of figures as HTML, PNG and SVG."""

import asyncio
import base64
import gzip
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from html import escape
from io import BytesIO

from choreographer.errors import BrowserClosedError, BrowserFailedError, ChromeNotFoundError
from kaleido import Kaleido
from kaleido.errors import KaleidoError
from PIL import Image
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from analysis.figures.parts.style import described


class FigureError(RuntimeError):
    """A figure that cannot be drawn to a file. Its message says what is needed."""


FIGURE_SECONDS = 60.0
"""Time limit in seconds for drawing one figure; starting the browser counts as one figure."""
SCRIPT_FILE = "plotly.js"
"""The script in the folder of the figures' pages that makes them interactive."""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title></head><body>
<div id="figure" role="img" aria-label="{seen}">{drawing}</div>
<script src="{script}"></script>
<script>
window.plotly?.then(() => {{
  const figure = {data}, place = document.getElementById("figure");
  place.replaceChildren();
  Plotly.newPlot(place, figure.data, figure.layout);
}});
</script></body></html>
"""


def to_html(name: str, figure: Figure, drawing: str) -> str:
    """Return a page that shows the interactive figure if SCRIPT_FILE is in the same folder, and `drawing`, an SVG, otherwise.

    A page shown outside its folder, for example by the MLflow UI, cannot load the script.
    """
    seen = escape(described(figure))
    return _PAGE.format(name=escape(name), seen=seen, drawing=drawing, script=SCRIPT_FILE, data=to_json(figure))


def sized(figure: Figure, *, width: int = 1100, height: int = 640) -> Figure:
    """Return a copy of an external figure with a size in pixels and a legible text size, where the figure sets none."""
    copy = Figure(figure)
    copy.update_layout(width=copy.layout.width or width, height=copy.layout.height or height)
    copy.update_layout(font_size=copy.layout.font.size or 16)
    return copy


def to_json(figure: Figure) -> str:
    """Return the figure's data and layout as plotly.js takes them, safe inside a page."""
    described: str = figure.to_json()
    return described.replace("<", "\\u003c")


_UNPACK = """
window.plotly = (async () => {
  const bytes = Uint8Array.from(atob("%s"), letter => letter.charCodeAt(0));
  const text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(Object.assign(document.createElement("script"), { textContent: text }));
})();
"""


def plot_script() -> str:
    """Return plotly.js, to be included once per page; the promise `window.plotly` resolves when it is loaded.

    It is compressed: a study holds it twice, and uncompressed it would be half of the study's folder.
    """
    return _UNPACK % base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def to_png(figures: Mapping[str, Figure], *, scale: float = 2) -> dict[str, bytes]:
    """Draw figures; `scale` is image pixels per layout pixel."""
    return _drawn(figures, {"png": scale})["png"]


def to_images(figures: Mapping[str, Figure]) -> dict[str, dict[str, bytes]]:
    """Draw figures as PNG and, for papers, as SVG, all in one headless browser; return {kind: {stem: image}}."""
    return _drawn(figures, {"png": 2, "svg": 1})


def _drawn(figures: Mapping[str, Figure], scales: Mapping[str, float]) -> dict[str, dict[str, bytes]]:
    try:
        return _tried_twice(figures, scales) if figures else {kind: {} for kind in scales}
    except (ChromeNotFoundError, BrowserFailedError, BrowserClosedError, TimeoutError) as error:
        raise FigureError(
            "figures: PNG export needs a Chromium browser, got none that starts and answers. "
            "Install chromium (Debian: apt-get install chromium), or put its path into BROWSER_PATH."
        ) from error
    except KaleidoError as error:
        raise FigureError(f"figures: must be drawable by plotly, got an error: {error}. Report it.") from error


def _tried_twice(figures: Mapping[str, Figure], scales: Mapping[str, float]) -> dict[str, dict[str, bytes]]:
    """Draw the figures, and retry once if the browser did not start or was killed, which happens on a loaded machine."""
    try:
        return _apart(figures, scales)
    except (BrowserFailedError, BrowserClosedError):
        return _apart(figures, scales)


def _apart(figures: Mapping[str, Figure], scales: Mapping[str, float]) -> dict[str, dict[str, bytes]]:
    """Draw figures in an event loop of this thread, or of a new thread if one is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _in_a_browser(figures, scales)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_in_a_browser, figures, scales).result()


def _in_a_browser(figures: Mapping[str, Figure], scales: Mapping[str, float]) -> dict[str, dict[str, bytes]]:
    # kaleido's server is not used: without a browser its thread dies and its caller waits for ever.
    with _raising_interrupts(), asyncio.Runner() as runner:
        browser = Kaleido(timeout=FIGURE_SECONDS)
        try:
            return runner.run(_draw(figures, scales, browser))
        except BaseException:
            # The remaining tasks wait for the browser, which may hang, and would report their cancellation.
            runner.get_loop().set_exception_handler(lambda *_: None)
            _kill(browser)
            raise


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _raising_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise in the event loop; with Python's own handler asyncio would only cancel the main task.

    The cancelled task would wait for the browser, which may hang. asyncio keeps any handler that is not Python's own.
    """
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not own or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _kill(browser: Kaleido) -> None:
    """Kill a browser and its child processes; it leads a process group. The library would only ask it to close."""
    process = getattr(browser, "subprocess", None)  # None before it starts
    if process and process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _draw(
    figures: Mapping[str, Figure], scales: Mapping[str, float], browser: Kaleido
) -> dict[str, dict[str, bytes]]:
    drawn: dict[str, dict[str, bytes]] = {kind: {} for kind in scales}
    try:
        async with _limited():
            await browser.open()
        for name, figure in figures.items():
            size = {"width": figure.layout.width, "height": figure.layout.height}
            for kind, scale in scales.items():
                async with _limited():
                    image = await browser.calc_fig(figure, opts={"format": kind, "scale": scale, **size})
                drawn[kind][name] = _with_a_palette(image) if kind == "png" else image
    except BaseException:
        _kill(browser)
        raise
    finally:
        await browser.close()
    return drawn


@asynccontextmanager
async def _limited() -> AsyncIterator[None]:
    """Raise TimeoutError after FIGURE_SECONDS; the browser's library reports its own timeout as a failure."""
    limit = asyncio.timeout(FIGURE_SECONDS)
    try:
        async with limit:
            yield
    except BrowserFailedError as error:
        if limit.expired():
            raise TimeoutError from error
        raise


def _with_a_palette(png: bytes) -> bytes:
    """Return a PNG with 256 colours, which has a quarter of the bytes and differs by about 1 of 255 per pixel."""
    small = BytesIO()
    with Image.open(BytesIO(png)) as image:
        image.convert("RGB").quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            small, "PNG", optimize=True
        )
    return small.getvalue()
