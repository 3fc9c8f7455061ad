"""The pages of results that stand on the evidence beside them."""

import pytest

from pipeline.__main__ import main
from pipeline.exchange.contents import load
from scripts.result_pages import EVIDENCE, STUDIES, SUITE, between, of_study, of_suite, over_data

FILES = sorted(EVIDENCE.glob("*.zip"))


def test_the_page_of_the_suite_says_what_its_evidence_says():
    studies = [load(file) for file in FILES if file not in STUDIES.values()]
    assert between(SUITE.read_text(encoding="utf-8")) == of_suite(studies, over_data(studies))


@pytest.mark.parametrize(("page", "file"), STUDIES.items(), ids=[page.stem for page in STUDIES])
def test_the_page_of_a_study_says_what_its_evidence_says(page, file):
    assert between(page.read_text(encoding="utf-8")) == of_study(load(file), page)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_evidence_holds_without_training(file, workplace, capsys):
    assert main(["verify", str(file)]) == 0
    assert "hold" in capsys.readouterr().out
    assert list(workplace.iterdir()) == []
