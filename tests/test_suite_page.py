"""The page of results over several data sets, which stands on the evidence beside it."""

import pytest

from pipeline.__main__ import main
from pipeline.exchange.contents import load
from scripts.suite_page import EVIDENCE, PAGE, between, over_data, written

FILES = sorted(EVIDENCE.glob("suite_*.zip"))


def test_the_page_says_what_its_evidence_says():
    studies = [load(file) for file in FILES]
    assert between(PAGE.read_text(encoding="utf-8")) == written(studies, over_data(studies))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_evidence_holds_without_training(file, workplace, capsys):
    assert main(["verify", str(file)]) == 0
    assert "hold" in capsys.readouterr().out
    assert list(workplace.iterdir()) == []
