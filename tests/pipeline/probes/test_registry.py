from functools import partial

import pytest

from pipeline.probes.registry import PROBES, Probe
from pipeline.probes.time_use import anytime


def nested():
    def inner(model, dataset):
        del model, dataset

    return inner


@pytest.mark.parametrize("measure", [lambda model, dataset: model or dataset, partial(anytime), nested()])
def test_a_probe_must_have_a_source_of_its_own(measure):
    with pytest.raises(TypeError, match=r"^probe: must be a function at the top level of a module, .* got .*"):
        Probe(measure)


def test_every_probe_is_listed_by_the_name_of_its_function():
    assert {name: probe.measure.__name__ for name, probe in PROBES.items()} == {name: name for name in PROBES}
