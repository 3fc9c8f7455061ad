"""The pages of results that stand on the evidence beside them."""

import pytest

from pipeline.__main__ import main
from pipeline.exchange.contents import load
from scripts.result_pages import EVIDENCE, OF_STUDY, STUDY, SUITE, between, of_study, of_suite, over_data

FILES = sorted(EVIDENCE.glob("*.zip"))


def test_the_page_of_the_suite_says_what_its_evidence_says():
    studies = [load(file) for file in FILES if file != OF_STUDY]
    assert between(SUITE.read_text(encoding="utf-8")) == of_suite(studies, over_data(studies))


def test_the_page_of_event_mnist_says_what_its_evidence_says():
    assert between(STUDY.read_text(encoding="utf-8")) == of_study(load(OF_STUDY))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_evidence_holds_without_training(file, workplace, capsys):
    assert main(["verify", str(file)]) == 0
    assert "hold" in capsys.readouterr().out
    assert list(workplace.iterdir()) == []
