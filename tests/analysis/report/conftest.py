"""Three models, two of them alike, and what the analyses find."""

import pytest

from analysis import run_analyses

RATES = {"none": 0.6, "sincos": 0.9, "lete": 0.91}


@pytest.fixture(scope="session")
def rates():
    return RATES


@pytest.fixture(scope="session")
def findings(study, draw):
    return run_analyses(study(draw(RATES)))
