import numpy as np

from analysis.figures.parts.labels import spread


def test_labels_keep_their_order_and_their_distance_and_stay_inside():
    places = spread(np.array([100.0, 101.0, 99.0, 5.0]), gap=20, height=110)
    assert np.argsort(places).tolist() == [3, 2, 0, 1]
    assert np.diff(np.sort(places)).min() >= 20 - 1e-9
    assert places.min() >= 0
    assert places.max() <= 110 + 1e-9
