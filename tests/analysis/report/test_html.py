import re

import pytest

from analysis import run_analyses
from analysis.figures import night_colours, plot_script
from analysis.figures.parts.style import PAPER, TEXT_CONTRAST, contrast
from analysis.report import look
from analysis.report.html import page
from analysis.report.markdown import report


@pytest.fixture(scope="module")
def whole(study, draw):
    findings = run_analyses(study(draw({"a": 0.6, "b": 0.9})))
    figures = {stem: figure for finding in findings for stem, figure in finding.figures.items()}
    return page(report(findings, title="Study <x>", links={"a-0": "http://server/a?b=1&c=2"}), figures)


def bare(text):
    return page(text, {}).replace(plot_script(), "")


def test_the_page_needs_no_network_and_is_small(whole):
    own = whole.replace(plot_script(), "")
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?!data:)", own)
    assert whole.count(plot_script()) == 1
    assert len(whole.encode()) < 8_000_000


def test_the_answer_the_contents_and_two_figures_come_first_and_every_figure_is_there(whole):
    assert whole.index("<h2>Answer</h2>") < whole.index("<nav") < whole.index("<h2>Verdict</h2>")
    assert whole.index("<h2>Verdict</h2>") < whole.index("<h2>Results</h2>")
    placed = re.findall(r'data-figure="(\w+)"', whole)
    assert placed[:2] == ["differences", "accuracy"]
    assert {"training_curves", "statistical_significance"} <= set(placed)
    assert all(f'id="{stem}"' in whole for stem in placed)


def test_every_number_of_a_run_leads_to_it(whole):
    [row] = re.findall(r'<tr>\n<th scope="row"><a[^>]*>a seed 0</a>.*?</tr>', whole, re.DOTALL)
    assert row.count('href="http://server/a?b=1&amp;c=2"') == 1 + row.count("<td>") > 5


def test_text_is_escaped(whole):
    assert "<h1>Study &lt;x&gt;</h1>" in whole


def test_the_markdown_of_reports_is_rendered():
    text = bare("# T\n\nSay `x`:\n- one **two**\n- [l](u)\n\n| a | b |\n| :-- | --: |\n| c\\|d | 1 |\n\n> note")
    assert "<p>Say <code>x</code>:</p>\n<ul>\n<li>one <strong>two</strong></li>\n" in text
    assert '<li><a href="u">l</a></li>\n</ul>' in text
    assert '<th scope="col">a</th>\n<th scope="col">b</th>' in text
    assert '<th scope="row">c|d</th>\n<td>1</td>' in text
    assert "<blockquote>\n<p>note</p>\n</blockquote>" in text


def test_what_markdown_says_inside_code_and_across_lines_is_rendered_as_elsewhere():
    text = bare("# T\n\n`a**b**c`\n\n- one\n  and its end\n\n1. first\n2. second")
    assert "<code>a**b**c</code>" in text
    assert "<li>one\nand its end</li>" in text
    assert "<ol>" in text


def test_every_table_has_a_caption_and_headers_of_rows_and_columns(whole):
    tables = re.findall(r"<table>.*?</table>", whole, re.DOTALL)
    assert len(tables) > 8
    for table in tables:
        [caption] = re.findall("<caption><span>(.+?)</span></caption>", table)
        assert not caption.startswith("Table:")
        assert table.count('scope="col"') > 1
        assert table.count('scope="row"') == table.count("<tr>") - 1 > 0
    assert "Table: " not in whole.replace(plot_script(), "")


def test_a_table_without_a_caption_takes_that_of_its_section():
    text = bare("# T\n\n## Some <part>\n\nWords.\n\n| a | b |\n| :-- | --: |\n| c | 1 |")
    assert "<caption><span>Some &lt;part&gt;</span></caption>" in text
    assert "<p>Words.</p>" in text


def test_sections_fold_and_those_after_the_results_are_shut(whole):
    folds = re.findall(r'<details id="(section-[a-z-]+)"( open)?><summary><h2>', whole)
    opened = [name for name, is_open in folds if is_open]
    assert opened == ["section-verdict", "section-results"]
    assert [f"#{name}" for name, _ in folds] == re.findall(r'<li><a href="(#section-[^"]+)"', whole)
    assert "section-training-curves" in dict(folds)
    alone = re.findall("<details[^>]*>", bare("# T\n\n## One\n\na\n\n## Two\n\nb"))
    assert alone == ['<details id="section-one" open>', '<details id="section-two" open>']


def test_every_figure_says_what_is_seen_on_it(whole):
    said = dict(re.findall(r'data-figure="(\w+)".*?aria-label="([^"]+)"', whole))
    assert re.search(r"b minus a \+\d+\.\d\d points, adjusted interval \+\d.*, better", said["differences"])
    assert re.search(r"b \d\d\.\d\d % \(.*\), seeds from \d", said["accuracy"])
    assert all(re.search(r"\d", text) and len(text) > 40 for text in said.values()), said


def test_the_text_of_the_page_can_be_read_by_day_and_by_night():
    for colours in (look.DAY, look.NIGHT):
        for ground in ("ground", "note", "answer"):
            for ink in ("ink", "muted", "link"):
                assert contrast(colours[ink], colours[ground]) >= TEXT_CONTRAST, (ink, ground)
    assert look.NIGHT["ground"] == night_colours()[PAPER]
