"""What the documents name exists: commands parse, symbols import, settings resolve, files are there."""

import importlib
import re
import shlex
import subprocess
import sys
from itertools import dropwhile, takewhile
from pathlib import Path

import pytest
import yaml

from analysis.analyses.registry import ANALYSES
from analysis.metrics.registry import METRICS
from analysis.plan import Plan
from pipeline.__main__ import VERBS, parse
from pipeline.ablation.reading import load_ablation
from pipeline.ls import LISTS
from pipeline.settings import read_values, resolve
from pipeline.study import load_run, load_study

ROOT = Path(__file__).parents[1]
WALK = (ROOT / "docs/requirement.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "mlflow_server/README.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS = [page.read_text(encoding="utf-8") for page in PAGES]
OURS = re.compile(r"([A-Z_]+=\S+ )*(python -m pipeline|mlflow run|make|bash|docker|\.venv/bin/mlflow ui) ")
PRINTED = [
    line.split("#")[0].strip()
    for document in DOCUMENTS
    for block in re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    for line in block.splitlines()
    if OURS.match(line) and "log_time" not in line  # which `new` has made: tests/pipeline/test_new.py trains one
]
OPTIONS = re.findall(r"`(--[\w.]+ [^`]+)`", (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"))
WORDS = {
    "lstm_embedding_comparison.py",  # names of the requirement that stand for a verb here
    "lstm_embedding_analysis.py",
    "run_ablation_study.py",
    "auto",
    "raw",
    "build",
    "train",
    "results/",
}


def check_pipeline(arguments):
    options = parse(arguments)
    settings = read_values(options.overrides)
    config = ROOT / options.config if getattr(options, "config", None) else None
    if options.verb == "train":
        assert len(options.models) <= 1
        load_run(config, settings | ({"model.embedding.name": options.models[0]} if options.models else {}))
    elif options.verb in ("main", "compare"):
        load_study(config, models=options.models, seeds=options.seeds, overrides=settings)
    elif options.verb == "ablate":
        load_ablation(config, rows=options.models, seeds=options.seeds, overrides=settings)
    elif options.verb == "ls":
        assert options.topic in (("data", "embeddings") if options.place else ("", *LISTS))


def check_mlflow(words):
    """Build the command as MLflow does: declared parameters are filled in, the others appended."""
    project = yaml.safe_load((ROOT / "MLproject").read_text())
    entry = project["entry_points"][words[words.index("-e") + 1]]
    given = dict(words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "-P")
    declared = {name: given.pop(name, about["default"]) for name, about in entry["parameters"].items()}
    command = entry["command"].format(**declared)
    assert all(f"{{{name}}}" in entry["command"] for name in declared)
    check_pipeline(
        [*shlex.split(command)[3:], *(word for name, value in given.items() for word in (f"--{name}", value))]
    )


def check_docker(words):
    """Look at `docker compose [--profile NAME] VERB [OPTION ...] [SERVICE ARGUMENT ...]`."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert words[1] == "compose"
    if words[2] == "--profile":
        assert any(words[3] in service.get("profiles", []) for service in services.values())
        words = words[:2] + words[4:]
    options, rest = list(takewhile(is_option, words[3:])), list(dropwhile(is_option, words[3:]))
    if words[2] == "up":
        assert (set(options), rest) == ({"--detach", "--build", "--wait"}, [])
    elif words[2] == "restart":
        assert set(rest) <= set(services)
    elif words[2] == "cp":
        assert rest[0].partition(":")[0] in services
    else:
        assert (words[2], rest[0]) == ("run", "pipeline")
        check_pipeline(rest[1:])


def is_option(word):
    return word.startswith("--")


def check_command(command):
    words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
    if words[:3] == ["python", "-m", "pipeline"]:
        check_pipeline(words[3:])
    elif words[:2] == ["mlflow", "run"]:
        check_mlflow(words)
    elif words[0] == "make":
        assert re.search(rf"^([\w-]+ )*{words[1]}[ :]", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "bash":
        assert (ROOT / words[1]).is_file()
        assert subprocess.run(["bash", "-n", ROOT / words[1]], check=True).returncode == 0
    elif words[0] == "cp":
        assert (ROOT / words[1]).is_file()
    elif words[0] == "docker":
        check_docker(words)
    else:
        assert words[:2] == [".venv/bin/mlflow", "ui"]


def check_symbol(name):
    path, found = name.split("."), None
    for end in range(len(path), 0, -1):
        try:
            found = importlib.import_module(".".join(path[:end]))
        except ModuleNotFoundError:
            continue
        break
    for attribute in path[end:]:
        found = getattr(found, attribute)


def written_files():
    """Return the names of the outputs, as the code that writes them spells them."""
    sources = [ROOT / "pipeline/analyze.py", ROOT / "pipeline/texts.py", *(ROOT / "analysis").rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    names = set(re.findall(r'"([\w]+\.(?:json|csv|md))"', text))
    figures = re.findall(r'figures ?= ?\{\s*"(\w+)":', text)
    assert '_best.pth"' in text
    assert "-seed{run" in text
    examples = {"lete_best.pth", "logs/lete-seed0.log"}
    return names | examples | {f"{stem}.{kind}" for stem in figures for kind in ("png", "html")}


def names_something(span, known):
    """Say whether a code span is a known word, a file or a setting."""
    return span in known or (ROOT / span).exists() or bool(resolve(span, True)[0])


SPANS = list(dict.fromkeys(re.findall(r"`([^`\n]+)`", WALK)))
COMMANDS = [span for span in SPANS if re.match(r"(python -m pipeline|mlflow run|bash|make|docker) ", span)]
SYMBOLS = [span for span in SPANS if re.fullmatch(r"(analysis|models|pipeline)\.[\w.]+", span)]


def test_every_command_of_the_documents_is_one_that_can_be_given(subtests):
    for command in [*COMMANDS, *PRINTED]:
        with subtests.test(command):
            check_command(command)


def test_every_option_that_troubleshooting_names_fits_some_model(subtests):
    for option in OPTIONS:
        with subtests.test(option):
            check_command(f"python -m pipeline compare {option}")


def test_every_symbol_of_the_walk_imports(subtests):
    for symbol in SYMBOLS:
        with subtests.test(symbol):
            check_symbol(symbol)


def test_everything_else_that_the_walk_names_is_known():
    known = WORDS | written_files() | set(ANALYSES) | {metric.name for metric in METRICS} | set(Plan.model_fields)
    others = [span for span in SPANS if span not in {*COMMANDS, *SYMBOLS}]
    assert [span for span in others if not names_something(span, known)] == []


def test_the_walk_has_every_section_and_enough_to_check():
    for section in ("Output structure", "Configuration options", "Key metrics", "Troubleshooting", "Performance tips"):
        assert f"## {section}" in WALK
    assert len(COMMANDS) > 15
    assert len(SYMBOLS) > 40
    assert {
        "training_curves.png",
        "statistical_significance.html",
        "summary.json",
        "significance.csv",
    } <= written_files()


def test_the_defaults_of_the_walk_are_those_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \| `([\w.]+)`[^|]* \| ([\w.]+) \|$", WALK, re.MULTILINE)
    assert len(rows) == 15
    study = load_study(None)
    for name, path, default in rows:
        assert resolve(name, default)[0] == path
        values = {variant: str(value_at(config, path)) for variant, config in study.variants.items()}
        expected = {"true": {"auto", "True"}}.get(default, {default})
        assert {value for value in values.values() if value != "None"} <= expected, name


def value_at(config, path):
    for key in path.split("."):
        config = getattr(config, key, None)
    return config


def test_help_names_every_verb():
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(f"  {verb} " in done.stdout for verb in VERBS)


@pytest.mark.parametrize(
    "command", ["python -m pipeline compare --no_such_setting 1", "mlflow run . -e train -P modls=x"]
)
def test_a_command_with_a_wrong_name_would_be_noticed(command):
    with pytest.raises(ValueError, match="must be a known setting"):
        check_command(command)
