"""Both registries of models, by the same tests."""

import pytest

from pipeline.tracking import MemoryTracker, Version


@pytest.fixture(params=["memory", "mlflow_tracker"])
def tracker(request):
    return request.getfixturevalue(request.param)


def run_with_model(tracker):
    run = tracker.create("run", tags={})
    if isinstance(tracker, MemoryTracker):
        tracker.log_text(run, "model/card.md", "")
    else:
        tracker._client.create_logged_model(tracker._experiment, "lete", run)
    return run


def test_versions_are_numbered_by_name_and_aliases_move(tracker):
    registry, runs = tracker.registry, [run_with_model(tracker) for _ in range(2)]
    assert registry.versions("a") == []
    assert registry.of_alias("a", "champion") is None
    first = registry.add("a", runs[0], {"verdict": "better"})
    assert first == Version("a", 1, runs[0], {"verdict": "better"})
    second, other = registry.add("a", runs[1], {}), registry.add("b c.d", runs[1], {})
    assert (second.number, other.number) == (2, 1)
    registry.point("champion", first)
    registry.point("previous", first)
    registry.point("champion", second)
    assert [version.aliases for version in registry.versions("a")] == [("previous",), ("champion",)]
    assert tracker.registry.of_alias("a", "champion").run_id == runs[1]
    assert tracker.registry.of_alias("b c.d", "champion") is None


def test_the_versions_of_runs_are_found_whatever_their_name(tracker):
    registry, runs = tracker.registry, [run_with_model(tracker) for _ in range(3)]
    for name, run in (("a", runs[0]), ("b", runs[0]), ("b", runs[1])):
        registry.add(name, run, {})
    found = registry.of_runs(runs[:1] + runs[2:])
    assert {(version.name, version.number, version.run_id) for version in found} == {
        ("a", 1, runs[0]),
        ("b", 1, runs[0]),
    }
    assert registry.of_runs([]) == []


def test_a_description_is_kept(tracker):
    registry = tracker.registry
    version = registry.add("a", run_with_model(tracker), {})
    registry.describe(version, "# a card")
    if isinstance(tracker, MemoryTracker):
        assert registry.descriptions == {("a", 1): "# a card"}
    else:
        assert tracker._client.get_model_version("a", "1").description == "# a card"
        assert registry.page(version) == "#/models/a/versions/1?workflowType=machine_learning"


def test_a_run_without_a_model_is_not_registered(tracker):
    with pytest.raises(FileNotFoundError):
        tracker.registry.add("a", tracker.create("run", tags={}), {})
    assert tracker.registry.versions("a") == []
