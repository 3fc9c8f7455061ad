"""The report as one page: interactive figures, no network, readable on a telephone.

It renders the Markdown that `analysis.report.markdown` writes (headings, lists, tables, quotes, paragraphs, links, images), so
both say the same. An image becomes the figure of that stem; in a table whose first cell is a link, the whole row is.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby

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
  Plotly.newPlot(box.firstElementChild, data, layout, { displaylogo: false, displayModeBar: false }) };
const watch = new IntersectionObserver(seen => seen.filter(one => one.isIntersecting).forEach(one => {
  watch.unobserve(one.target); draw(one.target) }), { rootMargin: '600px' });
boxes.forEach(box => { fit(box); watch.observe(box) });
addEventListener('resize', () => boxes.forEach(fit));
addEventListener('beforeprint', () => boxes.forEach(box => box.querySelector('svg') || draw(box)));
"""
IMAGE = re.compile(r"!\[(.*)\]\((.+)\.png\)")
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def page(markdown: str, figures: Mapping[str, Figure]) -> str:
    """Return a self-contained page of a report in Markdown and the figures that it names."""
    blocks = [_block(block.splitlines(), figures) for block in re.split(r"\n{2,}", markdown.strip())]
    title = escape(markdown.strip().splitlines()[0].lstrip("# "))
    data = [
        f'<script type="application/json" id="{stem}">{to_json(figure)}</script>' for stem, figure in figures.items()
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>"
    )
    scripts = [*data, f"<script>{plot_script()}</script>", f"<script>{SCRIPT}</script></body></html>"]
    return "\n".join([head, *blocks, *scripts])


def _block(lines: Sequence[str], figures: Mapping[str, Figure]) -> str:
    """Return one block of Markdown; a paragraph and the list that follows it may share it."""
    parts = []
    for kind, group in groupby(lines, key=_kind):
        texts = list(group)
        if kind == "table":
            parts.append(_table(texts))
        elif kind == "list":
            parts.append("<ul>" + "".join(f"<li>{_inline(text[2:])}</li>" for text in texts) + "</ul>")
        elif kind == "quote":
            said = [text.lstrip("> ") for text in texts]
            parts.append("<blockquote>" + "".join(f"<p>{_inline(text)}</p>" for text in said if text) + "</blockquote>")
        elif kind == "heading":
            marks, _, text = texts[0].partition(" ")
            parts.append(f"<h{len(marks)}>{_inline(text)}</h{len(marks)}>")
        elif (found := IMAGE.fullmatch(texts[0])) and found[2] in figures:
            parts.append(_figure(found[2], found[1], figures[found[2]]))
        else:
            parts.append(f"<p>{_inline(' '.join(texts))}</p>")
    return "\n".join(parts)


def _kind(line: str) -> str:
    starts = {"|": "table", "- ": "list", ">": "quote", "#": "heading"}
    return next((kind for start, kind in starts.items() if line.startswith(start)), "text")


def _inline(text: str) -> str:
    """Return text with links, bold and code."""
    text = LINK.sub(r'<a href="\2">\1</a>', escape(text, quote=True))
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)


def _table(lines: Sequence[str]) -> str:
    header, _, *rows = [[cell.strip().replace("\\|", "|") for cell in _cells(line)] for line in lines]
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in _row(row)) + "</tr>" for row in rows)
    head = "".join(f"<th>{_inline(cell)}</th>" for cell in header)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line)[1:-1]


def _row(cells: Sequence[str]) -> list[str]:
    """Return cells as HTML, all linked to where the first one leads."""
    link = LINK.fullmatch(cells[0])
    first, *others = [_inline(cell) for cell in cells]
    return [first, *(f'<a href="{escape(link[2])}">{cell}</a>' if link else cell for cell in others)]


def _figure(stem: str, title: str, figure: Figure) -> str:
    size = f'data-width="{figure.layout.width}" data-height="{figure.layout.height}"'
    return f'<div class="wide" data-figure="{stem}" {size} aria-label="{escape(title)}"><div class="plot"></div></div>'
