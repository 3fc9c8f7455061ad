import re
from dataclasses import replace
from html import escape

import pandas as pd
from markdown_it import MarkdownIt

from analysis import run_analyses
from analysis.findings import Finding
from analysis.metrics.registry import METRICS
from analysis.report.markdown import description, report, verdict_lines, verdict_markdown
from analysis.wording import plain


def test_the_answer_comes_first_and_then_the_verdict_and_the_results(findings):
    text = report(findings)
    places = [
        text.index(f"\n## {title}\n")
        for title in ("Answer", "Verdict", "Results", "Every pair of models", "Training curves", "Plan", "Environment")
    ]
    assert places == sorted(places)
    verdict, figure = text.index("- **lete is better than none**: +"), text.index("(differences.png)")
    accuracy = text.index("(accuracy.png)")
    assert places[1] < verdict < figure < accuracy < text.index("Test: two-way t") < places[2]
    assert places[3] < text.index("(statistical_significance.png)") < places[4]
    assert text.count("lete is better than none") == 1


def test_every_run_is_linked_where_an_address_is_known(findings):
    text = report(findings, links={"lete-1": "http://host/runs/lete-1"})
    assert "[lete seed 1](http://host/runs/lete-1)" in text
    assert "| lete seed 0 |" in text


def test_every_figure_is_shown_once(findings):
    shown = re.findall(r"!\[[^\]]+\]\((\w+)\.png\)", report(findings))
    assert sorted(shown) == sorted(stem for finding in findings for stem in finding.figures)
    assert set(shown) == {
        "accuracy",
        "differences",
        "training_curves",
        "convergence_analysis",
        "temporal_patterns",
        "confusion_matrices",
        "performance_profiles",
        "reliability",
        "efficiency",
        "statistical_significance",
    }


def test_no_p_is_written_without_an_effect_and_an_interval(findings):
    for line in report(findings).splitlines():
        if re.search(r"\bp [=<] \d", line):
            assert re.search(r"[+-]\d+\.\d\d points \[[+-]\d+\.\d\d, [+-]\d+\.\d\d\]", line), line


def test_the_best_accuracy_is_flagged_as_chosen_on_test(findings):
    text = report(findings)
    assert "Best accuracy *" in text
    assert "* Chosen on the test split" in text


def test_environment_and_plan_are_listed(findings):
    text = report(findings, environment={"git commit": "abc123"})
    assert "| git commit | abc123 |" in text
    assert "| torch_version | 2.13.0 |" in text
    assert "| margin | 0.002 |" in text
    assert "| reference | none |" in text


def test_the_short_forms_say_one_sentence_a_pair(findings):
    lines = verdict_lines(findings)
    assert len(lines) == 3
    assert lines[1].startswith("lete is better than none: +")
    markdown = verdict_markdown(findings, {"lete-1": "http://host/1"})
    assert all(line in markdown.replace("**", "") for line in lines)
    assert "[lete seed 1](http://host/1)" in markdown
    assert len(markdown) < 5000


def test_a_description_fits_what_mlflow_keeps_and_loses_the_runs_first(study, draw):
    many = run_analyses(study(draw({f"model_{number:02d}": 0.8 for number in range(12)})), ["overview", "significance"])
    long = description(many)
    assert len(long) <= 8_000 < len(verdict_markdown(many))
    assert long.endswith("The rest is in the report among the artifacts.\n")
    some = run_analyses(
        study(draw({f"model_{number}": 0.8 for number in range(4)}, seeds=12)), ["overview", "significance"]
    )
    links = {f"model_{number}-{seed}": "#/experiments/1/runs/" + 32 * "0" for number in range(4) for seed in range(12)}
    assert len(verdict_markdown(some, links)) > 8_000
    told = description(some, links)
    assert told.startswith("**model_")
    assert "runs/000" not in told
    assert all(line in told for line in verdict_markdown(some, runs=False).splitlines())


def test_a_description_begins_with_the_answer_and_then_has_the_results(findings, study, draw):
    told = description(findings).split("\n\n")
    assert re.fullmatch(
        r"\*\*lete has the highest mean test accuracy, \d\d\.\d\d % \[\d\d\.\d\d %, \d\d\.\d\d %\]\.\*\* It is "
        r"\d+\.\d\d points \[-?\+?\d+\.\d\d, \+\d+\.\d\d\] ahead of \w+, the next: a difference that is .*\.",
        told[0],
    ), told[0]
    assert told[1] == "Table: Results of the models"
    assert told[2].startswith("| Model | Seeds | Test accuracy")
    assert told[3].startswith("3 declared pairs: ")
    one = run_analyses(study(draw({"lete": 0.8})), ["overview", "significance"])
    alone = r"\*\*lete has a mean test accuracy of .* %\]\.\*\* There is no other model to compare it with\."
    assert re.match(alone, description(one))
    assert "No differences were tested." in description(findings[:1])


def test_without_the_significance_analysis_there_is_no_verdict(study, draw, rates):
    findings = run_analyses(study(draw(rates)), ["overview"])
    assert verdict_lines(findings) == []
    assert "No verdict" in report(findings)
    assert "No verdict" in verdict_markdown(run_analyses(study(draw(rates)), ["confusion"]))


def test_every_metric_has_a_row_with_its_spread_over_seeds(findings):
    text = report(findings)
    table = text[text.index("Table: Every metric") : text.index("## Every pair of models")]
    assert all(f"\n| {metric.title} | {metric.better} |" in table for metric in METRICS)
    assert re.search(r"\| Test NLL \| lower \| \d\.\d{3} ± \d\.\d{3} \|", table)


def test_the_tables_of_an_analysis_are_listed_unless_its_summary_says_them(findings):
    table = pd.DataFrame({"first_part": range(40), "b": 0.123456, "c": "x|*y*"})
    own = Finding("own", "My analysis", "What I found.", {"my_table": table, "other": table.head(1)})
    text = report([*findings, own])
    assert (
        "## My analysis\n\nWhat I found.\n\nTable: My table (the first 30 of 40 rows)\n\n| first part | b | c |" in text
    )
    assert "\n| 29 | 0.1235 | x\\|\\*y\\* |\n\nTable: Other\n" in text
    only = report([*findings, replace(own, listed=["other"])])
    assert "Table: Other" in only
    assert "Table: My table" not in only
    assert not [finding.name for finding in findings[2:] if finding.shown()]


def test_text_with_letters_of_markup_is_shown_as_it_is():
    text = r"p < 0.001 & [a](b) `c` *d* _e_ f_g ~h~ !i \j &lt; <b>"
    assert "\\<" not in plain(text)  # MLflow shows a backslash before it
    assert MarkdownIt().renderInline(plain(text)) == escape(text, quote=False)
