import numpy as np

from analysis.report.flip_card import flip_card
from analysis.statistics.flips import flips


def of(labels, before, after, churn, classes=("a", "b")):
    labels, before, after = (np.array(each) for each in (labels, before, after))
    ids = np.arange(len(labels)) + 100
    return flip_card(
        flips(labels, before, after),
        {model: np.array(pairs, dtype=int) for model, pairs in churn.items()},
        labels=labels,
        sample_ids=ids,
        classes=classes,
    )


def test_a_card_says_what_flips_by_class_and_which_sequences():
    said = of([0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0], {"new": [1], "old": [2, 4]})
    assert "Of 4 test sequences, 2 turn from wrong to right and 1 from right to wrong: 3 flips, net +1." in said
    assert "3 get another answer." in said
    assert "new 1 (mean of 1 pair, 1 to 1); old 3 (mean of 2 pairs, 2 to 4)." in said
    assert "| a | 2 | 2 | 0 | +2 |" in said
    assert "| b | 2 | 0 | 1 | -1 |" in said
    assert "Turned right, by sample id: 100, 101" in said
    assert "Turned wrong: 102" in said


def test_flips_are_held_against_the_most_that_the_seed_alone_makes():
    few, many = (of([0] * 9, [1] * 9, [0] * flipped + [1] * (9 - flipped), {"new": [3]}) for flipped in (3, 4))
    assert "No more answers flip here than between some two seeds of one model." in few
    assert "More answers flip here than between any two of these seeds." in many


def test_a_single_run_of_each_model_leaves_the_floor_unknown():
    said = of([0, 1], [1, 1], [0, 1], {"new": [], "old": []})
    assert "How many flips the seed alone makes is not known: neither model has a second run here." in said


def test_nothing_that_flips_needs_no_table():
    said = of([0, 1], [0, 1], [0, 1], {"new": [0]})
    assert "0 flips, net +0" in said
    assert "|" not in said
    assert "Turned" not in said


def test_many_sequences_and_classes_are_cut_and_names_are_no_markup():
    classes = [f"<b>{number}*" for number in range(20)]
    said = of(range(20), [(n + 1) % 20 for n in range(20)], range(20), {"new": [1]}, classes)
    assert "100, 101, 102, 103, 104 and 15 more" in said
    assert "Flips by class, the 12 of 20 with the most" in said
    assert "<b>" not in said
    assert said.count("| 1 | 1 | 0 | +1 |") == 12
