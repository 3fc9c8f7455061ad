import numpy as np

from analysis import run_analyses


def test_significance_is_dark_below_alpha_light_elsewhere_and_never_on_the_diagonal(figures, study, draw):
    results = study(draw({"sincos": 0.6, "lete": 0.9, "none": 0.9}))
    pairs = run_analyses(results, ["significance"])[0].tables["pairs"]
    (heatmap,) = figures["statistical_significance"].data
    dark = np.array(heatmap.z, dtype=float)
    place = {model: i for i, model in enumerate(results.models)}
    assert np.isnan(np.diag(dark)).all()
    assert (np.nan_to_num(dark) == np.nan_to_num(dark.T)).all()
    for row in pairs.itertuples():
        assert dark[place[row.model_a], place[row.model_b]] == (row.p_adjusted < 0.05)
    assert {0.0, 1.0} <= set(dark[~np.isnan(dark)])


def test_significance_cells_mirror_their_signs_and_verdicts(figures):
    texts = {(note.y, note.x): note.text for note in figures["statistical_significance"].layout.annotations}
    below, above = texts[1, 0], texts[0, 1]  # lete against sincos, and back
    assert below.startswith("<b>+")
    assert "better" in below
    assert above.startswith("<b>-")
    assert "worse" in above
