"""The figures of a study of three models."""

import pytest

from analysis import run_analyses


@pytest.fixture(scope="session")
def figures(study, draw):
    results = study(draw({"sincos": 0.6, "lete": 0.9, "none": 0.9}))
    return {stem: figure for finding in run_analyses(results) for stem, figure in finding.figures.items()}
