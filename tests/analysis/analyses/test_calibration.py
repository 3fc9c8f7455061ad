from dataclasses import replace

import numpy as np
import pytest

from analysis.analyses.calibration import REPLICATES, calibration, judged, permuted, rates
from analysis.plan import Plan
from analysis.report.markdown import report, verdict_markdown
from analysis.statistics.randomness import stream
from analysis.statistics.two_way import WHOLE, by_class, difference, scores

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
@pytest.mark.parametrize(("paired", "known"), [(False, 0.87), (True, 0.85)])
def test_the_power_of_the_headline_test_stays_where_it_was_measured(paired, known):
    # The unpaired value is this test's own.
    generator = stream("power", SIMULATIONS)
    found = [difference(*simulate(generator, effect=0.5), paired=paired).p < 0.05 for _ in range(SIMULATIONS)]
    assert np.mean(found) == pytest.approx(known, abs=0.05)


def family(seed, *, models=4, seeds=5, images=1000, of_seeds=0.0, of_images=0.0):
    """Return answers (models, seeds, images) of equal models: noise of images, of model and image, of model and seed."""
    generator = stream("family", seed)
    own = of_images * generator.standard_normal((models, 1, images))
    own = own + of_seeds * generator.standard_normal((models, seeds, 1))
    right = generator.random((models, seeds, images)) < 1 / (1 + np.exp(-generator.normal(3, 3, images) - own))
    return right.astype(np.float32)


SEEDS_DECIDE = {"of_seeds": 0.6}
IMAGES_DECIDE = {"of_images": 2.0}
BOTH = {"of_seeds": 0.15, "of_images": 1.0}


def red(answers_KSn, plan=None, strata=WHOLE):
    plan = plan or Plan()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.analyses.calibration.PLANTED", (1,))  # the power for larger ones is not looked at
        row = rates(answers_KSn, plan, stream("replicates"), strata).iloc[0]
    return "MORE THAN IT SHOULD" in judged(row["false_positives"], plan.alpha)


@pytest.mark.slow
@pytest.mark.parametrize(("world", "seeds"), [(SEEDS_DECIDE, 3), (IMAGES_DECIDE, 5), (BOTH, 3), (BOTH, 5)])
@pytest.mark.parametrize("pairing", ["paired", "unpaired"])
def test_without_a_fault_the_stamp_is_green(world, seeds, pairing):
    assert not any(red(family(seed, seeds=seeds, **world), Plan(pairing=pairing)) for seed in range(2))


UNEQUAL = by_class(np.arange(1000) % 20 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("world", [SEEDS_DECIDE, BOTH], ids=["seeds", "both"])
def test_without_a_fault_the_stamp_is_green_where_classes_are_unequal(world):
    assert not any(red(family(seed, **world), strata=UNEQUAL) for seed in range(2))


@pytest.mark.slow
def test_forgetting_the_seeds_turns_the_stamp_red_where_classes_are_unequal(monkeypatch):
    changed(monkeypatch, lambda found: smaller(found, 0, 1))
    assert red(family(0, of_seeds=1.2), strata=UNEQUAL)


def test_a_replicate_keeps_the_variance_of_balanced_accuracy_over_seeds():
    """Seeds move the rare class alone: one class in 20, which moves accuracy by a tenth of what it moves the mean."""
    answers_KSn = family(0, models=3, seeds=20)
    rare = np.arange(1000) % 20 == 0
    lost_KSn = stream("lost").random((3, 20, 50)) < stream("shares").random((3, 20, 1))
    answers_KSn[..., rare] *= ~lost_KSn
    generator = stream("replicate")
    for strata in (UNEQUAL, WHOLE):
        found = [permuted(answers_KSn, generator, paired=False, strata=strata) for _ in range(40)]
        kept = np.mean([scores(one, strata).var(ddof=1) for replicate in found for one in replicate])
        assert kept == pytest.approx(np.mean([scores(one, strata).var(ddof=1) for one in answers_KSn]), rel=0.25)


def changed(monkeypatch, change):
    """Let the test that gives the verdicts be another: `change` maps its estimate to that of the faulty test."""
    monkeypatch.setattr(
        "analysis.analyses.significance.difference", lambda a, b, **how: change(difference(a, b, **how))
    )


def smaller(found, over_seeds, over_images):
    """Return the estimate with its variances multiplied."""
    parts, images = tuple(over_seeds * part for part in found.over_seeds), over_images * found.over_images
    return replace(found, se=(sum(parts) + images) ** 0.5, over_seeds=parts, over_images=images)


@pytest.mark.slow
@pytest.mark.parametrize("world", [SEEDS_DECIDE, IMAGES_DECIDE, BOTH], ids=["seeds", "images", "both"])
def test_a_variance_divided_by_four_turns_the_stamp_red(monkeypatch, world):
    changed(monkeypatch, lambda found: smaller(found, 1 / 4, 1 / 4))
    assert red(family(0, **world))


@pytest.mark.slow
def test_dropping_holm_turns_the_stamp_red(monkeypatch):
    monkeypatch.setattr("analysis.analyses.significance.holm", lambda p, _family: p.copy())
    assert red(family(0, models=5, seeds=10, **BOTH))


@pytest.mark.slow
def test_forgetting_the_seeds_turns_the_stamp_red(monkeypatch):
    changed(monkeypatch, lambda found: smaller(found, 0, 1))
    assert red(family(0, **SEEDS_DECIDE))


@pytest.mark.slow
def test_forgetting_the_images_turns_the_stamp_red(monkeypatch):
    changed(monkeypatch, lambda found: smaller(found, 1, 0))
    assert red(family(0, **IMAGES_DECIDE))


@pytest.mark.parametrize("paired", [True, False])
def test_a_replicate_keeps_what_varies_and_drops_what_differs(paired):
    answers_KSn = family(0, models=3, seeds=20, images=500, of_seeds=0.6, of_images=1.0)
    answers_KSn[1] = 1
    generator = stream("replicate")
    found = [permuted(answers_KSn, generator, paired=paired) for _ in range(40)]
    gaps = np.array([[np.mean(one[a] - one[0]) for a in (1, 2)] for one in found])
    assert (np.abs(gaps.mean(axis=0)) < 4 * gaps.std(axis=0) / np.sqrt(40)).all()
    # The parts of images are those of the study, on other models.
    image_Kn = answers_KSn.mean(axis=1) - answers_KSn.mean(axis=(1, 2))[:, None]
    assert np.mean([one.sum(axis=0).mean(axis=0) for one in found], axis=0) == pytest.approx(
        image_Kn.sum(axis=0), abs=0.2
    )


def test_the_report_is_stamped_with_both_rates(study):
    a, b = simulate(stream("stamp"), effect=0.5, images=500)
    finding = calibration(study({"b": b, "a": a}))
    row = finding.tables["calibration"].iloc[0]
    assert finding.data["false_positives"] == row["false_positives"] <= 0.12
    assert row["power_5"] >= row["power_1"]
    for text in (report([finding]), verdict_markdown([finding])):
        assert f"a false better or worse in {100 * row['false_positives']:.1f} % of {REPLICATES} replicates" in text
        assert f"1 points in {100 * row['power_5']:.0f} %" in text
    assert "It cannot see" in finding.summary


def test_the_family_is_the_declared_one_and_too_few_seeds_are_said(study, draw):
    correct = draw({"none": 0.6, "sincos": 0.7, "lete": 0.8}, images=60)
    every = calibration(study(correct, Plan(margin=0.06))).tables["calibration"].iloc[0]
    assert every["pairs"] == 3
    reference = Plan(reference="sincos", family="reference")
    assert calibration(study(correct, reference)).tables["calibration"]["pairs"].item() == 2
    named = (
        calibration(study(correct, Plan(family="pairs", pairs=[["lete", "sincos"]], margin=0.06)))
        .tables["calibration"]
        .iloc[0]
    )
    assert named["pairs"] == 1
    # The difference is planted in the pair that is declared, and the same replicates are corrected for one pair in place of three.
    assert named["power_5"] > every["power_5"]
    finding = calibration(study(draw({"none": 0.6, "lete": 0.8}, seeds=2)))
    assert "not calibrated" in finding.data["stamp"]
    assert "3 seeds" in finding.data["stamp"]
