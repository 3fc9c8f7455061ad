import re

import pytest

from analysis import analyze
from analysis.figures import plot_script
from analysis.report.html import page
from analysis.report.markdown import report


@pytest.fixture(scope="module")
def whole(study, draw):
    findings = analyze(study(draw({"a": 0.6, "b": 0.9})))
    figures = {stem: figure for finding in findings for stem, figure in finding.figures.items()}
    return page(report(findings, title="Study <x>", links={"a-0": "http://server/a?b=1&c=2"}), figures)


def bare(text):
    return page(text, {}).replace(plot_script(), "")


def test_the_page_needs_no_network_and_is_small(whole):
    own = whole.replace(plot_script(), "")
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?!data:)", own)
    assert whole.count(plot_script()) == 1
    assert len(whole.encode()) < 8_000_000


def test_the_verdict_comes_first_and_every_figure_is_there(whole):
    assert whole.index("<h2>Verdict</h2>") < whole.index("<h2>Results</h2>")
    placed = re.findall(r'data-figure="(\w+)"', whole)
    assert {"training_curves", "statistical_significance"} <= set(placed)
    assert all(f'id="{stem}"' in whole for stem in placed)


def test_every_number_of_a_run_leads_to_it(whole):
    [row] = re.findall(r"<tr>\n<td><a[^>]*>a seed 0</a>.*?</tr>", whole, re.DOTALL)
    assert row.count('href="http://server/a?b=1&amp;c=2"') == row.count("<td>") > 4


def test_text_is_escaped(whole):
    assert "<h1>Study &lt;x&gt;</h1>" in whole


def test_the_markdown_of_reports_is_rendered():
    text = bare("# T\n\nSay `x`:\n- one **two**\n- [l](u)\n\n| a | b |\n| :-- | --: |\n| c\\|d | 1 |\n\n> note")
    assert "<p>Say <code>x</code>:</p>\n<ul>\n<li>one <strong>two</strong></li>\n" in text
    assert '<li><a href="u">l</a></li>\n</ul>' in text
    assert "<td>c|d</td>\n<td>1</td>" in text
    assert "<blockquote>\n<p>note</p>\n</blockquote>" in text


def test_what_markdown_says_inside_code_and_across_lines_is_rendered_as_elsewhere():
    text = bare("# T\n\n`a**b**c`\n\n- one\n  and its end\n\n1. first\n2. second")
    assert "<code>a**b**c</code>" in text
    assert "<li>one\nand its end</li>" in text
    assert "<ol>" in text
