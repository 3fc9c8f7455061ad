import numpy as np
import pytest


def test_confusion_colours_errors_only_and_writes_percent_of_the_true_class(figures, study, draw):
    results = study(draw({"sincos": 0.6, "lete": 0.9, "none": 0.9}))
    heatmap = figures["confusion_matrices"].data[0]
    assert np.isnan(np.diag(np.array(heatmap.z, dtype=float))).all()
    label, right = results.test_set.label, results.correct["sincos"]
    assert heatmap.text[0][0] == f"<b>{100 * right[:, label == 0].mean():.0f}</b>"
    assert heatmap.z[0][1] == pytest.approx(100 * (1 - right[:, label == 0].mean()))
