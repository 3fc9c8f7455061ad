"""The report as one self-contained HTML page with interactive figures, for phones, dark mode and print.

It renders the Markdown of the report, so both have the same content. An image becomes the figure of that stem. A paragraph that
begins with CAPTION becomes the caption of the table below it. If the first cell of a row is a link, the whole row becomes one. A section
can be folded; sections after the results are closed at first.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import takewhile

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from analysis.figures import Figure, plot_script, to_json
from analysis.report.look import SCRIPT, STYLE
from analysis.wording import CAPTION

MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
RENDERER = RendererHTML()
ANSWER, RESULTS = "Answer", "Results"
"""Headings of the section shown in a box, and of the last section that is open at first."""


def page(markdown: str, figures: Mapping[str, Figure]) -> str:
    """Return a self-contained page of a report in Markdown and the figures that it names."""
    tokens = MARKDOWN.parse(markdown)
    _dress_rows(tokens)
    _place_captions(tokens)
    for place, token in enumerate(tokens):
        if token.type == "inline":
            _place_figure(tokens[place - 1 : place + 2], figures)
    title = escape(_text(tokens[1]))
    data = [
        f'<script type="application/json" id="{stem}">{to_json(figure)}</script>' for stem, figure in figures.items()
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body><main>"
    )
    scripts = [*data, f"<script>{plot_script()}</script>", f"<script>{SCRIPT}</script></body></html>"]
    return "\n".join([head, *_body(tokens), "</main>", *scripts])


def _body(tokens: list[Token]) -> Iterator[str]:
    """Yield the HTML before the first section, the answer, the table of contents, and the other sections."""
    starts = [place for place, token in enumerate(tokens) if (token.type, token.tag) == ("heading_open", "h2")]
    ends = [*starts, len(tokens)]
    sections = [(_text(tokens[start + 1]), tokens[start:end]) for start, end in zip(starts, ends[1:], strict=True)]
    yield _render(tokens[: ends[0]])
    for title, inside in sections:
        if title == ANSWER:
            yield f'<section class="answer" aria-label="{ANSWER}">\n{_render(inside)}</section>'
    folds = [(title, inside) for title, inside in sections if title != ANSWER]
    if not folds:
        return
    names = [f"section-{re.sub('[^a-z0-9]+', '-', title.lower()).strip('-')}" for title, _ in folds]
    links = [f'<li><a href="#{name}">{escape(title)}</a></li>' for name, (title, _) in zip(names, folds, strict=True)]
    unfold = '<button type="button" hidden>Unfold or fold all</button>'
    yield f'<nav aria-label="Contents">\n<ul>\n{"".join(links)}\n</ul>\n{unfold}</nav>'
    titles = [title for title, _ in folds]
    opened = titles.index(RESULTS) if RESULTS in titles else len(folds)
    for number, (name, (title, inside)) in enumerate(zip(names, folds, strict=True)):
        state = " open" if number <= opened else ""
        yield f'<details id="{name}"{state}><summary><h2>{escape(title)}</h2></summary>\n{_render(inside[3:])}</details>'


def _render(tokens: Sequence[Token]) -> str:
    return RENDERER.render(tokens, MARKDOWN.options, {})


def _text(inline: Token) -> str:
    """Return the text of an inline token, without markup."""
    return RENDERER.renderInlineAsText(inline.children, MARKDOWN.options, {})


def _dress_rows(tokens: Sequence[Token]) -> None:
    """Set the scope of each heading cell, and link the rows that begin with a link."""
    for place, token in enumerate(tokens):
        if token.type in {"th_open", "td_open"}:
            token.attrs = {"scope": "col"} if token.type == "th_open" else {}  # the style of the page aligns them
        if token.type != "tr_open":
            continue
        row = list(takewhile(lambda one: one.type != "tr_close", tokens[place:]))
        _link_row([part for part in row if part.type == "inline"])


def _link_row(cells: Sequence[Token]) -> None:
    """Link all cells of a row to the target of the first one."""
    first, *others = cells
    match first.children:
        case [Token(type="link_open") as opened, *_, Token(type="link_close") as closed]:
            for cell in others:
                cell.children = [opened, *(cell.children or []), closed]


def _place_captions(tokens: list[Token]) -> None:
    """Give each table a caption (the heading of its section if it has none) and a scrollable box."""
    heading = ""
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = _text(tokens[place + 1])
        elif token.type == "table_open":
            said = escape(_caption(tokens[max(0, place - 3) : place]) or heading)
            box = f'<div class="wide" role="group" tabindex="0" aria-label="{said}">'
            tokens[place] = _html(f"{box}<table>\n<caption><span>{said}</span></caption>\n")
        elif token.type == "table_close":
            tokens[place] = _html("</table></div>\n")
        elif token.type == "td_open" and tokens[place - 1].type == "tr_open":
            token.tag, token.attrs = "th", {"scope": "row"}
            tokens[place + 2].tag = "th"


def _caption(paragraph: Sequence[Token]) -> str:
    """Return the caption in the three tokens of a paragraph, and remove the paragraph from the page."""
    match paragraph:
        case [Token(type="paragraph_open") as before, Token(type="inline") as inline, after]:
            said = _text(inline)
            if said.startswith(CAPTION):
                before.hidden = after.hidden = True
                inline.children = []
                return said.removeprefix(CAPTION)
    return ""


def _html(content: str) -> Token:
    return Token("html_block", "", 0, content=content)


def _place_figure(paragraph: Sequence[Token], figures: Mapping[str, Figure]) -> None:
    """Replace the three tokens of a paragraph that holds only the image of a figure by the figure's place on the page."""
    before, inline, after = paragraph
    match inline.children:
        case [Token(type="image") as image]:
            stem = str(image.attrs["src"]).removesuffix(".png")
        case _:
            return
    if stem not in figures:
        return
    layout, said = figures[stem].layout, escape(_text(image))
    size = f'data-width="{layout.width}" style="--width: {layout.width}; --height: {layout.height}"'
    plot = f'<div class="frame"><div class="plot" role="img" aria-label="{said}"><p>{said}</p></div></div>'
    before.hidden = after.hidden = True
    inline.type, inline.children = "html_block", []
    inline.content = (
        f'<figure data-figure="{stem}" {size}>{plot}<button type="button" hidden>Full size</button></figure>\n'
    )
