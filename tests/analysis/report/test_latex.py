import re
import shutil
import subprocess

import numpy as np
import pytest

from analysis import run_analyses
from analysis.report.latex import results_table, significance_table
from analysis.report.markdown import report

TABLES = [results_table, significance_table]


@pytest.fixture(scope="module")
def findings(study, draw):
    return run_analyses(study(draw({"a_b": 0.6, "50%&up": 0.9, "third": 0.62})), ["overview", "significance"])


def test_models_that_do_not_vary_over_seeds_have_no_effect_size_anywhere(study):
    # Each seed has the same number of right answers, on other sequences.
    alike = {"a": [np.roll(np.arange(100) < 60, seed) for seed in range(3)], "b": [np.arange(100) < 80] * 3}
    alike["b"] = [np.roll(right, 7 * seed) for seed, right in enumerate(alike["b"])]
    found = run_analyses(
        study({model: np.array(rows) for model, rows in alike.items()}), ["overview", "significance", "opinions"]
    )
    text = report(found)
    assert "no g, because no model varies over seeds" in text
    assert "permutation F over seeds infinite, because no model varies over seeds" in text
    assert not re.search(r"\binf\b", text + significance_table(found))


@pytest.mark.parametrize("table", TABLES)
def test_every_row_has_a_cell_for_every_column_and_the_rules_are_those_of_booktabs(table, findings):
    lines = [line for line in table(findings).splitlines() if not line.startswith("%")]
    columns = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[0]).group(1)
    assert [line for line in lines if line.startswith("\\")] == [
        lines[0], r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip
    rows = [line for line in lines if line.endswith(r" \\")]
    assert len(rows) == 1 + 3
    assert all(len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1 for row in rows)


@pytest.mark.parametrize("table", TABLES)
def test_what_means_something_to_latex_is_escaped(table, findings):
    text = table(findings)
    assert r"a\_b" in text
    assert r"50\%\&up" in text
    assert not re.search(r"(?<!\\)_", re.sub(r"^%.*$", "", text, flags=re.MULTILINE))


def test_the_numbers_are_those_of_the_findings(findings):
    pair = findings[1].tables["pairs"].iloc[0]
    row = next(line for line in significance_table(findings).splitlines() if line.startswith(r"50\%\&up & a\_b"))
    assert (
        f"${100 * pair['difference']:+.2f}$ [${100 * pair['adjusted_low']:+.2f}$, ${100 * pair['adjusted_high']:+.2f}$]"
        in row
    )
    assert "$< 0.001$" in row
    assert row.endswith(r"better \\")
    model = findings[0].tables["models"].iloc[0]
    assert f"{100 * model['test_accuracy_mean']:.2f} [" in results_table(findings)


def test_one_seed_or_one_model_gives_a_table_all_the_same(study):
    alone = run_analyses(study({"lete": np.ones((1, 30))}), ["overview", "significance"])
    assert "lete & 1 & 100.00 & " in results_table(alone)
    assert significance_table(alone).count(r" \\") == 1
    single = run_analyses(study({"a": np.ones((1, 30)), "b": np.zeros((1, 30))}), ["overview", "significance"])
    assert "-- & -- & --" in significance_table(single)


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX here")
@pytest.mark.parametrize("table", TABLES)
def test_latex_sets_the_table(table, findings, tmp_path):
    body = table(findings)
    head = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "paper.tex").write_text(f"{head}{body}\\end{{document}}\n")
    subprocess.run(["pdflatex", "-halt-on-error", "paper.tex"], cwd=tmp_path, capture_output=True, check=True)
