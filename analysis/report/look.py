"""The style of a report on screen (light or dark), on a phone and in print, and its script.

Colours of text have a contrast of at least 4.5 with their background (WCAG 2.2, AA); a test measures it.
"""

import json

from analysis.figures import night_colours

DAY = {"ground": "#FFFFFF", "ink": "#222222", "muted": "#595959", "line": "#E4E4E4", "link": "#00588A"}
DAY |= {"note": "#FFF4EC", "mark": "#D55E00", "answer": "#EDF4F9"}
NIGHT = {"ground": "#14181C", "ink": "#E8E6E3", "muted": "#A9B0B7", "line": "#3A424A", "link": "#7DBBE6"}
NIGHT |= {"note": "#2B211A", "mark": "#E0762B", "answer": "#1B2630"}
"""Colours of the page; its background is that of the figures."""

PAPER_WIDTH, PAPER_HEIGHT = 700, 880
"""Largest size of a printed figure, in CSS pixels: it fits A4 and US letter within the margins, with room for a heading."""
_FIT = f"min(1, {PAPER_WIDTH} / var(--width), {PAPER_HEIGHT} / var(--height))"


def _variables(colours: dict[str, str]) -> str:
    return "; ".join(f"--{name}: {colour}" for name, colour in colours.items())


STYLE = f"""
:root {{ color-scheme: light dark; {_variables(DAY)} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(NIGHT)} }} }}
body {{ font: 17px/1.5 "Open Sans", "DejaVu Sans", Arial, sans-serif; color: var(--ink); background: var(--ground);
  margin: 0 auto; padding: 1rem; max-width: 76rem }}
h1 {{ line-height: 1.2 }} h2 {{ display: inline; font-size: 1.5em; line-height: 1.3 }}
p, li, blockquote {{ max-width: 52rem; overflow-wrap: anywhere }}
a {{ color: var(--link) }}
details {{ margin-top: 1.5rem; border-top: 1px solid var(--line); padding-top: 1rem }}
summary {{ cursor: pointer }} summary::marker {{ color: var(--muted) }}
.answer {{ background: var(--answer); border-radius: 6px; padding: .8rem 1.2rem }}
.answer > p:first-of-type {{ font-size: 1.1em }}
blockquote {{ margin: 1rem 0; padding: .2rem 1rem; border-left: 5px solid var(--mark); background: var(--note) }}
nav ul {{ columns: 3 14rem; padding-left: 1.2rem }} nav li {{ break-inside: avoid }}
button {{ font: inherit; color: var(--link); background: none; border: 1px solid currentColor; border-radius: 4px; padding: .1rem .6rem }}
.wide {{ overflow-x: auto; margin: 1rem 0 }}
table {{ border-collapse: collapse; font-size: .9em }}
caption {{ text-align: left; font-weight: 600; padding-bottom: .3rem }}
caption span {{ display: inline-block; position: sticky; left: 0; max-width: min(52rem, calc(100vw - 1.4rem)) }}
td, th {{ padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right }}
th:first-child {{ text-align: left; position: sticky; left: 0; background: var(--ground) }} tbody th {{ font-weight: normal }}
td {{ white-space: nowrap }} td:only-of-type {{ white-space: normal }} td a, th a {{ text-decoration: none }}
figure {{ margin: 1rem 0 }}
.frame {{ overflow: hidden; height: calc(var(--height) * var(--scale, 1) * 1px) }}
.plot {{ width: calc(var(--width) * 1px); height: calc(var(--height) * 1px); transform-origin: 0 0; transform: scale(var(--scale, 1)) }}
.full {{ --scale: 1 !important; overflow-x: auto }}
@media (max-width: 600px) {{ body {{ font-size: 15px; padding: .6rem }} td, th {{ padding: .2rem .45rem }} }}
@page {{ margin: 12mm }}
@media print {{
  :root {{ color-scheme: light }}
  body {{ font-size: 10pt; padding: 0 }} nav, button {{ display: none }}
  details::details-content {{ content-visibility: visible; block-size: auto }} summary {{ list-style: none }}
  h1, h2, h3, summary, caption {{ break-after: avoid }}
  figure, tr, blockquote, .answer {{ break-inside: avoid }}
  .wide {{ overflow: visible }} table {{ font-size: 7.5pt }} th:first-child, caption span {{ position: static }}
  td, th {{ white-space: normal; padding: .15rem .25rem; overflow-wrap: anywhere }}
  .frame {{ height: calc(var(--height) * 1px * {_FIT}) }} .plot {{ transform: scale({_FIT}) }}
}}
"""
# A figure is drawn when it comes near the viewport, at its own size, and scaled down to the page; a figure that becomes small
# can be shown at full size and scrolled. For print, all sections are opened and figures are drawn in light colours.
_BEHAVIOUR = r"""
const dark = matchMedia('(prefers-color-scheme: dark)'), boxes = [...document.querySelectorAll('[data-figure]')];
const folds = [...document.querySelectorAll('details')], every = document.querySelector('nav button');
const coloured = new RegExp(Object.keys(night).map(one => one.replace('(', '\\(')).join('|'), 'g');
let printing = false, folded = [];
const fit = box => { const [frame, button] = box.children, scale = Math.min(1, frame.clientWidth / +box.dataset.width);
  if (!frame.clientWidth) return;
  frame.style.setProperty('--scale', scale); button.hidden = scale > 0.6 };
const draw = box => { const by = dark.matches && !printing ? 'night' : 'day';
  if (box.dataset.drawn == by) return;
  const text = document.getElementById(box.dataset.figure).textContent, plot = box.querySelector('.plot');
  const { data, layout } = JSON.parse(by == 'night' ? text.replace(coloured, one => night[one]) : text);
  plot.replaceChildren(); box.dataset.drawn = by;
  Plotly.newPlot(plot, data, layout, { displaylogo: false, displayModeBar: false }) };
const again = () => boxes.filter(box => box.dataset.drawn).forEach(draw);
const watch = new IntersectionObserver(seen => seen.filter(one => one.isIntersecting).forEach(one => {
  watch.unobserve(one.target); fit(one.target); plotly.then(() => draw(one.target)) }), { rootMargin: '600px' });
boxes.forEach(box => { fit(box); watch.observe(box); const [frame, button] = box.children;
  button.onclick = () => { const full = frame.classList.toggle('full');
    if (full) frame.tabIndex = 0; else frame.removeAttribute('tabindex');
    button.textContent = full ? 'Fit to the page' : 'Full size' } });
folds.forEach(fold => fold.addEventListener('toggle', () => boxes.filter(box => fold.contains(box)).forEach(fit)));
const reveal = () => { const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && folds.includes(target)) { target.open = true; target.scrollIntoView() } };
if (every) { every.hidden = false;
  every.onclick = () => { const open = folds.some(fold => !fold.open); folds.forEach(fold => fold.open = open) } }
addEventListener('hashchange', reveal); addEventListener('resize', () => boxes.forEach(fit)); dark.addEventListener('change', again);
addEventListener('beforeprint', () => { printing = true; folded = folds.filter(fold => !fold.open);
  folds.forEach(fold => fold.open = true); if (window.Plotly) boxes.forEach(draw) });
addEventListener('afterprint', () => { printing = false; folded.forEach(fold => fold.open = false); again() });
reveal();
"""
SCRIPT = f"const night = {json.dumps(night_colours())};{_BEHAVIOUR}"
