"""A study as an archive, and stores that it is taken into."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis.plan import Declaration
from pipeline.exchange import archive
from pipeline.exchange.contents import RUN, RUNS, canonical, load
from pipeline.exchange.crate import described
from pipeline.exchange.sending import export_study
from pipeline.stored_study import find_study
from pipeline.tracking import MemoryTracker


@pytest.fixture(scope="session")
def exported(analysed, tmp_path_factory):
    """The study of two models and two seeds, with weights and without, as files that no test may change."""
    folder = tmp_path_factory.mktemp("exported")
    for name, weights in (("bare", False), ("full", True)):
        export_study(find_study(analysed), analysed, folder / f"{name}.zip", weights=weights)
    return SimpleNamespace(bare=folder / "bare.zip", full=folder / "full.zip")


@pytest.fixture
def elsewhere(workplace, monkeypatch):
    """An empty store, which the verbs open."""
    other = MemoryTracker(workplace / "elsewhere")
    other._ids = (f"-elsewhere{number}" for number in itertools.count())
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (other, None))
    return other


@pytest.fixture
def forge(exported, tmp_path):
    """A function that writes the archive with members changed by another one, and digests as somebody makes them again."""

    def forged(change, *, digests="all"):
        contents = load(exported.bare)
        members = dict(contents.members)
        change(members)
        changed = replace(contents, members=members)
        if digests == "all":
            for cell, record in changed.runs.items():
                place = f"{RUNS}{cell}/"
                files = {
                    path: archive.digest(members[place + path]) for path in record.files if place + path in members
                }
                members[place + RUN] = canonical({**record.model_dump(), "files": {**record.files, **files}})
        if digests:
            members |= described(replace(contents, members=without_documents(members)))
        file = Path(tmp_path) / "forged.zip"
        archive.write(file, members)
        return file

    return forged


@pytest.fixture
def renamed(forge):
    """The archive with its variant none called mine wherever it is declared, and the hashes of that, under the old id."""
    return forge(_rename)


def _rename(members):
    study, plan = (json.loads(members[name]) for name in ("study.json", "plan.json"))
    for names in (study["variants"], plan["identity"]):
        names["mine"] = names.pop("none")
    for holder in (study, plan):
        holder["plan"]["reference"] = "sincos"
    for entry in study["cells"]:
        entry["model"] = entry["model"].replace("none", "mine")
    before, declared = study["plan_hash"], Declaration.model_validate(plan).hash
    members |= {"study.json": json.dumps(study).encode(), "plan.json": json.dumps(plan).encode()}
    for name in ("study.json", "evidence.json"):
        members[name] = members[name].replace(before.encode(), declared.encode())


def without_documents(members):
    return {
        name: content for name, content in members.items() if name not in ("ro-crate-metadata.json", "croissant.json")
    }
