from analysis.figures.parts.style import COLOURS, colours, cut_names


def test_each_model_keeps_its_colour_and_eight_models_differ():
    assert len(set(COLOURS)) == 8
    assert colours(["a", "b", "c"])["b"] == colours(["x", "b"])["b"]


def test_names_that_would_look_alike_when_cut_are_numbered_and_markup_is_text():
    assert cut_names(["owl", "R&D <b>"], 8) == ["owl", "R&amp;D &lt;b>"]
    assert cut_names(["rhythm type one", "rhythm type two"], 12) == ["rhyth\u2026pe one", "rhyth\u2026pe two"]
    alike = [f"rhythm {middle} of the heart" for middle in ("fast", "slow")]
    assert cut_names([*alike, "none"], 12) == ["0 rhythm fas", "1 rhythm slo", "2 none"]
    assert all(len(name) <= 12 for name in cut_names([*alike, *alike], 12))
