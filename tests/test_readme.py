"""README and docs say what is so: their examples run, their tables are those of the code, their links lead somewhere."""

import ast
import re
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest

from pipeline.__main__ import main, parse
from pipeline.ablation.reading import load_ablation
from pipeline.ablation.space import AblationConfig
from pipeline.ls import settings, settings_markdown
from pipeline.registries import REGISTRIES
from pipeline.settings import ALIASES, resolve
from pipeline.study import load_study

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(title, text):
    return re.search(rf"##+ {title}\n(.*?)(?=\n##|\Z)", text, re.DOTALL).group(1)


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_commands_that_write_a_new_thing_are_one_of_each_kind_and_name_its_file():
    [block] = blocks(page("extending.md"), "sh")
    commands = re.findall(r"^python -m pipeline (new (\w+) (\w+)) +# writes (\S+)$", block, re.MULTILINE)
    assert [kind for _, kind, _, _ in commands] == ["embedding", "backbone", "dataset", "metric", "analysis", "probe"]
    for command, kind, name, file in commands:
        assert parse(command.split()).name == name
        assert file == f"{REGISTRIES[kind].folder}/{name}.py"
        assert not (ROOT / file).exists()


def test_the_readme_is_a_page_to_start_from():
    assert len(README.splitlines()) < 200


def test_the_stored_model_is_loaded_in_five_lines():
    [block] = [block for block in blocks(page("reading.md"), "python") if "pyfunc" in block]
    assert len(block.splitlines()) == 5
    assert ast.parse(textwrap.dedent(block))


def test_the_table_of_settings_is_the_one_of_the_code():
    # After a change: .venv/bin/python -m scripts.settings_table
    table = re.search(r"<!-- settings: begin -->\n(.*?)\n<!-- settings: end -->", page("settings.md"), re.DOTALL).group(
        1
    )
    assert table == settings_markdown()
    assert len(table.splitlines()) == 2 + len(settings()[1])


def test_every_short_name_is_in_the_table_and_stands_for_its_setting():
    rows = dict(re.findall(r"^\| `(\w+)` \| `([\w.]+)`", page("settings.md"), re.MULTILINE))
    assert {name: rows[name] for name in ALIASES} == ALIASES
    assert all(resolve(name, True)[0] == path for name, path in ALIASES.items())


def test_the_study_file_of_the_page_is_one(tmp_path):
    [text] = blocks(page("settings.md"), "json")
    (tmp_path / "own.json").write_text(text)
    study = load_study(tmp_path / "own.json")
    assert list(study.variants) == ["lete", "lete_fourier"]
    assert study.variants["lete_fourier"].model.embedding.p == 1
    assert study.variants["lete"].train.epochs == 5


def test_the_example_of_own_data_runs_as_printed_on_recordings_of_that_form(mlflow_store, monkeypatch, capsys):
    """aeon itself is not installed here: a module of its name gives fewer recordings of the same form."""
    generator = np.random.default_rng(0)
    recordings = [generator.normal(number % 3, size=(12, 7 + number % 5)) for number in range(240)]
    speakers = np.array([str(number % 3) for number in range(240)])
    aeon = types.ModuleType("aeon.datasets")
    aeon.load_classification = {"JapaneseVowels": (recordings, speakers)}.get
    monkeypatch.setitem(sys.modules, "aeon", types.ModuleType("aeon"))
    monkeypatch.setitem(sys.modules, "aeon.datasets", aeon)
    workplace = mlflow_store.parent
    text = section("An example", page("own-data.md"))
    exec(blocks(text, "python")[0], {})  # noqa: S102 - the page's own code
    (workplace / "vowels.json").write_text(blocks(text, "json")[0])
    commands = [line.split()[3:] for line in blocks(text, "text")[0].splitlines() if "pipeline" in line]
    for command in commands:
        workers = ["--workers", "1"] if command[0] in ("main", "compare") else []
        assert main([*command, *workers, "--train.epochs", "2"]) == 0
    said = capsys.readouterr().out
    assert "position against none is" in said
    assert "sincos/seed-0: test accuracy" in said
    report = (workplace / "results/vowels/analysis_report.md").read_text()
    assert not re.search(r"\b(digit|pixel|image)s?\b", report)


def test_the_ablation_of_the_page_is_the_printed_example_and_varies_kan_mammote(tmp_path):
    [text] = blocks(page("ablation.md"), "json")
    (tmp_path / "own.json").write_text(text)
    study = load_ablation(tmp_path / "own.json")
    assert len(study.points) == 27
    assert study.config({}).model.embedding.name == "kan_mammote"


def test_every_key_of_an_ablation_is_in_its_table():
    assert all(f"`{name}`" in page("ablation.md") for name in (*AblationConfig.model_fields, "base", "rows"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_or_a_heading(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        leads = page.parent / file if file else page
        assert leads.exists(), target
        assert not heading or heading in headings(leads), target


def headings(page):
    """Return the headings of a page as links name them."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return {re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in lines if line[:1] == "#"}


def test_every_decision_is_in_the_index_and_says_what_it_costs():
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for number, page in enumerate(sorted((ROOT / "docs/decisions").glob("*.md")), start=1):
        text = page.read_text(encoding="utf-8")
        assert page.name.startswith(f"{number:04}-")
        assert f"(decisions/{page.name})" in index
        assert all(f"**{part}" in text for part in ("Context", "Choice", "What it costs")), page.name
