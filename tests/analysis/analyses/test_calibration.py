import numpy as np
import pytest

from analysis.analyses.calibration import REPLICATES, calibration, draw, replicate_p
from analysis.plan import Plan
from analysis.report.markdown import report, verdict_markdown
from analysis.statistics.randomness import stream
from analysis.statistics.two_way import difference

IMAGES, SEEDS, SIMULATIONS = 2000, 5, 600


def simulate(generator, *, effect, seeds=SEEDS, images=IMAGES):
    """Return answers of two models: noise of images, of model and image, of model and seed; `effect` is a logit."""
    image_n = 4.6 + 3 * generator.standard_normal(images)
    answers = []
    for shift in (effect, 0.0):
        logit = image_n + shift + generator.standard_normal(images) + 0.15 * generator.standard_normal((seeds, 1))
        answers.append(generator.random((seeds, images)) < 1 / (1 + np.exp(-logit)))
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("paired", [False, True])
def test_the_headline_test_is_wrong_in_no_more_than_five_percent(paired):
    generator = stream("type I error", SIMULATIONS)
    found = [difference(*simulate(generator, effect=0), paired=paired).p < 0.05 for _ in range(SIMULATIONS)]
    assert np.mean(found) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / SIMULATIONS)


@pytest.mark.slow
@pytest.mark.parametrize(("paired", "known"), [(False, 0.92), (True, 0.85)])
def test_the_power_of_the_headline_test_is_the_documented_one(paired, known):
    generator = stream("power", SIMULATIONS)
    found = [difference(*simulate(generator, effect=0.5), paired=paired).p < 0.05 for _ in range(SIMULATIONS)]
    assert np.mean(found) == pytest.approx(known, abs=0.05)


def replicate_slowly(a_Sn, b_Sn, image_n, seed_S, *, planted_n):
    """Return the p of one paired replicate by the definition, with loops over nothing but plain arrays."""
    gap = a_Sn.astype(float) - b_Sn
    mean, by_image, by_seed = gap.mean(), gap.mean(axis=0), gap.mean(axis=1)
    rest = gap - by_image - by_seed[:, None] + mean
    swapped = (by_image - mean) * image_n + ((by_seed - mean) * seed_S)[:, None] + rest * image_n * seed_S[:, None]
    swapped += planted_n
    seeds, images = gap.shape
    over_seeds, over_images = swapped.mean(axis=1).var(ddof=1) / seeds, swapped.mean(axis=0).var(ddof=1) / images
    df = (over_seeds + over_images) ** 2 / (over_seeds**2 / (seeds - 1) + over_images**2 / (images - 1))
    return swapped.mean() / np.sqrt(over_seeds + over_images), df


def test_a_replicate_is_the_headline_test_on_swapped_parts():
    from scipy import stats  # noqa: PLC0415

    a, b = simulate(stream("answers"), effect=0.5, images=300)
    drawn = draw(4, SEEDS, 300, stream("replicates"))
    found = replicate_p(a, b, drawn, paired=True, planted=[0, 0.05])
    for row, size in enumerate((0, 0.05)):
        for i in range(4):
            t, df = replicate_slowly(a, b, drawn.images[i], drawn.seeds[i], planted_n=drawn.places[i] < size)
            assert found[row, i] == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-3)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("effect", [0, 0.5])
def test_false_positives_stay_near_the_level_even_where_the_models_differ(paired, effect):
    generator = stream("calibrated", effect)
    drawn = draw(REPLICATES, SEEDS, IMAGES, generator)
    rates = [
        (replicate_p(*simulate(generator, effect=effect), drawn, paired=paired, planted=[0, 0.05]) < 0.05).mean(axis=1)
        for _ in range(8)
    ]
    wrong, right = np.mean(rates, axis=0)
    assert 0.02 < wrong < 0.08
    assert right > 0.9


@pytest.mark.parametrize("paired", [True, False])
def test_unpaired_and_paired_replicates_of_identical_models_have_p_one_or_no_effect(paired):
    a, _ = simulate(stream("same"), effect=0, images=200)
    p = replicate_p(a, a, draw(20, SEEDS, 200, stream("r")), paired=paired, planted=[0])
    assert not np.isnan(p).any()
    assert (p == 1).all() or not paired


def test_the_report_is_stamped_with_both_rates(study):
    a, b = simulate(stream("stamp"), effect=0.5)
    results = study({"b": b, "a": a})
    finding = calibration(results)
    row = finding.tables["calibration"].iloc[0]
    assert finding.data["false_positives"] == row["false_positives"] <= 0.12
    assert row["power_5"] > row["power_1"]
    for text in (report([finding]), verdict_markdown([finding])):
        assert f"finds one in {100 * row['false_positives']:.1f} % of 200 replicates" in text
        assert f"1 points in {100 * row['power_5']:.0f} %" in text


def test_only_pairs_with_the_reference_are_tried_and_one_seed_is_said(study, draw):
    correct = draw({"none": 0.6, "sincos": 0.7, "lete": 0.8})
    table = calibration(study(correct, Plan(reference="sincos"))).tables["calibration"]
    assert table["model_b"].unique().tolist() == ["sincos"]
    assert len(table) == 2
    finding = calibration(study(draw({"none": 0.6, "lete": 0.8}, seeds=1)))
    assert "not calibrated" in finding.data["stamp"]
