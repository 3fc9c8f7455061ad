import json
import re

import pytest

from analysis.figures.parts.style import (
    COLOURS,
    INK,
    MUTED,
    NIGHT,
    PAPER,
    STRONG_CELL,
    TEXT_CONTRAST,
    TILE,
    WEAK_CELL,
    colours,
    contrast,
    cut_names,
    faint,
    legible,
    night_colours,
)


def test_each_model_keeps_its_colour_and_eight_models_differ():
    assert len(set(COLOURS)) == 8
    assert colours(["a", "b", "c"])["b"] == colours(["x", "b"])["b"]


def test_names_that_would_look_alike_when_cut_are_numbered_and_markup_is_text():
    assert cut_names(["owl", "R&D <b>"], 8) == ["owl", "R&amp;D &lt;b>"]
    assert cut_names(["rhythm type one", "rhythm type two"], 12) == ["rhyth\u2026pe one", "rhyth\u2026pe two"]
    alike = [f"rhythm {middle} of the heart" for middle in ("fast", "slow")]
    assert cut_names([*alike, "none"], 12) == ["0 rhythm fas", "1 rhythm slo", "2 none"]
    assert all(len(name) <= 12 for name in cut_names([*alike, *alike], 12))


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.478, abs=0.001)  # the well-known grey that just fails
    assert contrast("#D55E00", "#FFFFFF") == contrast("#FFFFFF", "#D55E00") < TEXT_CONTRAST


def test_text_in_every_colour_can_be_read_by_day_and_by_night():
    night = night_colours()
    inks = [*map(legible, COLOURS), INK, MUTED]
    for colour in inks:
        assert contrast(colour, PAPER) >= TEXT_CONTRAST, colour
        assert contrast(night[colour], NIGHT) >= TEXT_CONTRAST, colour
    for cell in (STRONG_CELL, night[STRONG_CELL]):
        assert contrast("#FFFFFF", cell) >= TEXT_CONTRAST
    assert contrast(INK, WEAK_CELL) >= TEXT_CONTRAST
    assert contrast(night[INK], night[WEAK_CELL]) >= TEXT_CONTRAST
    assert contrast(night[INK], night[TILE]) >= TEXT_CONTRAST
    assert legible("#0072B2") == "#0072B2"


def test_marks_can_be_told_from_a_dark_ground_and_keep_their_hue():
    night = night_colours()
    assert all(contrast(night[colour], NIGHT) >= 3 for colour in COLOURS)
    assert night["#E69F00"] == "#E69F00"
    assert night[faint("#E69F00", 1).removesuffix(", 1)")] == "rgba(230, 159, 0"


def test_every_colour_of_a_figure_has_one_for_the_night(figures):
    """Colours that a figure sets are in the palette; those of colour scales are grounds of their own, alike by night."""
    known = night_colours()
    for stem, figure in figures.items():
        text = json.dumps({**json.loads(figure.to_json()), "frames": None})
        text = re.sub(r'"colorscale": \[\[.*?\]\]', "", text)
        for colour in re.findall(r"#[0-9A-Fa-f]{6}|rgba\(\d+, \d+, \d+", text):
            assert colour in known, (stem, colour)
