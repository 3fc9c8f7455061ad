"""The report as one page: interactive figures, no network, readable on a telephone.

It renders the Markdown of the report, so both say the same. An image becomes the figure of that stem; in a table whose
first cell is a link, the whole row is.
"""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import takewhile

from markdown_it import MarkdownIt
from markdown_it.token import Token

from analysis.figures import Figure, plot_script, to_json

STYLE = """
body { font: 17px/1.5 "Open Sans", "DejaVu Sans", Arial, sans-serif; color: #222; margin: 0 auto; padding: 1rem; max-width: 76rem }
h1 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-top: 1px solid #E4E4E4; padding-top: 1rem }
p, li, blockquote { max-width: 52rem; overflow-wrap: anywhere }
blockquote { margin: 1rem 0; padding: .2rem 1rem; border-left: 5px solid #D55E00; background: #FFF4EC }
a { color: #00588A }
.wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .9em } td, th { padding: .3rem .7rem; border-bottom: 1px solid #E4E4E4; text-align: right }
td:first-child, th:first-child { text-align: left; position: sticky; left: 0; background: white }
td + td { white-space: nowrap } td a { text-decoration: none } .plot { transform-origin: 0 0 }
@media (max-width: 600px) { body { font-size: 15px; padding: .6rem } td, th { padding: .2rem .45rem } }
"""
# A figure is drawn when it comes near, at its own size, then shrunk to the page; below half it scrolls instead.
SCRIPT = """
const fit = box => { const plot = box.firstElementChild, full = +box.dataset.width;
  const scale = Math.min(1, Math.max(0.5, box.clientWidth / full));
  plot.style.transform = `scale(${scale})`; plot.style.width = full + 'px';
  box.style.height = scale * box.dataset.height + 20 + 'px'; box.style.overflowY = 'hidden' };
const boxes = [...document.querySelectorAll('[data-figure]')];
const draw = box => { const { data, layout } = JSON.parse(document.getElementById(box.dataset.figure).textContent);
  return plotly.then(() => Plotly.newPlot(box.firstElementChild, data, layout, { displaylogo: false, displayModeBar: false })) };
const watch = new IntersectionObserver(seen => seen.filter(one => one.isIntersecting).forEach(one => {
  watch.unobserve(one.target); draw(one.target) }), { rootMargin: '600px' });
boxes.forEach(box => { fit(box); watch.observe(box) });
addEventListener('resize', () => boxes.forEach(fit));
addEventListener('beforeprint', () => boxes.forEach(box => box.querySelector('svg') || draw(box)));
"""
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def page(markdown: str, figures: Mapping[str, Figure]) -> str:
    """Return a self-contained page of a report in Markdown and the figures that it names."""
    tokens = MARKDOWN.parse(markdown)
    for place, token in enumerate(tokens):
        if token.type == "tr_open":
            row = takewhile(lambda one: one.type != "tr_close", tokens[place:])
            _link_row([part for part in row if part.type == "inline"])
        elif token.type == "inline":
            _place_figure(tokens[place - 1 : place + 2], figures)
        elif token.type in {"th_open", "td_open"}:
            token.attrs.clear()  # the style of the page aligns them
    title = escape(tokens[1].content)
    body = MARKDOWN.renderer.render(tokens, MARKDOWN.options, {})
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    data = [
        f'<script type="application/json" id="{stem}">{to_json(figure)}</script>' for stem, figure in figures.items()
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>"
    )
    scripts = [*data, f"<script>{plot_script()}</script>", f"<script>{SCRIPT}</script></body></html>"]
    return "\n".join([head, body, *scripts])


def _link_row(cells: Sequence[Token]) -> None:
    """Link all cells of a row to where the first one leads."""
    first, *others = cells
    match first.children:
        case [Token(type="link_open") as opened, *_, Token(type="link_close") as closed]:
            for cell in others:
                cell.children = [opened, *(cell.children or []), closed]


def _place_figure(paragraph: Sequence[Token], figures: Mapping[str, Figure]) -> None:
    """Turn the three tokens of a paragraph that is nothing but the image of a figure into its place on the page."""
    before, inline, after = paragraph
    match inline.children:
        case [Token(type="image", content=title) as image]:
            stem = str(image.attrs["src"]).removesuffix(".png")
        case _:
            return
    if stem in figures:
        layout = figures[stem].layout
        size = f'data-width="{layout.width}" data-height="{layout.height}" aria-label="{escape(title)}"'
        before.hidden = after.hidden = True
        inline.type = "html_block"
        inline.content = f'<div class="wide" data-figure="{stem}" {size}><div class="plot"></div></div>\n'
