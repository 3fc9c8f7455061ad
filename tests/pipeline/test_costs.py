import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.registry import MODELS
from pipeline.costs import CLEAR, PeakMemory, flops_of
from pipeline.settings import build_run


def built(**settings):
    config = build_run(
        {"data.name": "mnist_sample"} | {key.replace("__", "."): value for key, value in settings.items()}
    )
    test = config.data.load().test
    return config.model.build(horizon=test.horizon, feature_dim=test.feature_dim, classes=test.classes), test


@pytest.mark.parametrize(("hidden", "width", "layers"), [(128, 64, 2), (16, 8, 1), (8, 32, 3)])
def test_the_operations_of_an_lstm_are_those_of_the_closed_form(hidden, width, layers):
    model, test = built(model__hidden_dim=hidden, model__embedding__dim=width, model__num_layers=layers)
    events = int(test.lengths.sort().values[len(test) // 2])
    # Four gates, each a product of (H) with the D inputs and the H states: 2 * 4H (D + H) an event and layer.
    inputs = [width] + [hidden] * (layers - 1)
    recurrent = events * sum(2 * 4 * hidden * (d + hidden) for d in inputs)
    assert flops_of(model, test) == recurrent + 2 * hidden * test.classes


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("name", MODELS)
def test_operations_are_those_that_the_counter_of_torch_counts(name):
    model, test = built(model__name=name, model__embedding__name="kan_mammote")
    [middle] = test.lengths.argsort(stable=True)[len(test) // 2][None]
    batch, model = test.batch(middle[None]), model.eval()
    if hasattr(model, "compiled"):
        model.compiled = False
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
        model(batch.times, batch.features, batch.lengths)
    assert flops_of(model, test) == counter.get_total_flops()


@pytest.mark.parametrize("name", MODELS)
def test_the_operations_of_every_backbone_are_counted_and_grow_with_its_layers(name):
    one, two = (flops_of(*built(model__name=name, model__num_layers=layers)) for layers in (1, 2))
    assert 0 < one < two


def test_counting_leaves_the_model_as_it_was():
    model, test = built()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flops_of(model.train(), test)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.skipif(not CLEAR.exists(), reason="only Linux tells the peak of a process")
def test_the_peak_is_what_was_used_at_once_and_forgets_what_came_before():
    size = 64 * 2**20
    torch.ones(4 * size, dtype=torch.uint8)  # freed at once
    memory = PeakMemory(torch.device("cpu"))
    for _ in range(3):
        torch.ones(size, dtype=torch.uint8)
    assert memory.metrics()["peak_memory_bytes"] == pytest.approx(size, rel=0.1)
