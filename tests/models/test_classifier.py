"""The classifier against packed sequences, and the cuts that make it fast."""

from itertools import combinations, pairwise

import pytest
import torch
from torch import nn

from models import classifier
from models.classifier import GRUConfig, LSTMConfig, cut_in_time
from models.time_embeddings import TIME_EMBEDDINGS

HORIZON = 784
LENGTHS = torch.tensor([3, 60, 1, 17, 17, 2, 60, 5, 33])


def draw(lengths=LENGTHS, padding=0.0):
    generator = torch.Generator().manual_seed(0)
    times = torch.full((len(lengths), max(int(lengths.max()), 1)), padding)
    for row, length in enumerate(lengths.tolist()):
        times[row, :length] = torch.randperm(HORIZON, generator=generator)[:length].sort().values.float()
    return times, torch.randn(*times.shape, 2, generator=generator)


def build(kind=LSTMConfig, embedding="position", feature_dim=0, **fields):
    torch.manual_seed(0)
    config = kind(**{"dropout": 0.0, **fields}, embedding=TIME_EMBEDDINGS[embedding]())
    return config.build(horizon=HORIZON, feature_dim=feature_dim, classes=10)


def packed_logits(model, times, features, lengths):
    """The same weights in torch's stacked layer, run on a packed sequence."""
    depth, first = len(model.layers), model.layers[0]
    stack = type(first)(first.input_size, first.hidden_size, depth, batch_first=True)
    weights = {
        f"{name.removesuffix('_l0')}_l{layer}": value
        for layer, module in enumerate(model.layers)
        for name, value in module.named_parameters()
    }
    inputs = model.embedding(times, lengths)
    inputs = inputs if features is None else torch.cat([inputs, features], dim=-1)
    packed = nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    _, state = torch.func.functional_call(stack, weights, (packed,))
    return model.head((state[0] if isinstance(state, tuple) else state)[-1])


@pytest.mark.parametrize("call_cost", [0, 100, 10**6])
@pytest.mark.parametrize("kind", [LSTMConfig, GRUConfig])
@pytest.mark.parametrize("feature_dim", [0, 2])
def test_logits_and_gradients_are_those_of_a_packed_sequence(kind, feature_dim, call_cost, monkeypatch):
    monkeypatch.setattr(classifier, "CALL_COST_EVENTS", call_cost)
    model = build(kind, feature_dim=feature_dim, hidden_dim=24)
    times, features = draw()
    features = features if feature_dim else None
    ours, packed = model(times, features, LENGTHS), packed_logits(model, times, features, LENGTHS)
    torch.testing.assert_close(ours, packed, atol=1e-6, rtol=0)
    labels, parameters = torch.arange(len(LENGTHS)), list(model.parameters())
    for gradient, theirs in zip(
        torch.autograd.grad(nn.functional.cross_entropy(ours, labels), parameters),
        torch.autograd.grad(nn.functional.cross_entropy(packed, labels), parameters),
        strict=True,
    ):
        torch.testing.assert_close(gradient, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("embedding", TIME_EMBEDDINGS)
@pytest.mark.parametrize("kind", [LSTMConfig, GRUConfig])
def test_an_empty_sequence_has_the_initial_state(kind, embedding):
    model = build(kind, embedding).eval()
    for lengths in (torch.tensor([0, 4, 0, 1]), torch.tensor([0]), torch.tensor([0, 0])):
        logits = model(draw(lengths)[0], None, lengths)
        assert logits.isfinite().all()
        for row in (lengths == 0).nonzero().flatten().tolist():
            torch.testing.assert_close(logits[row], model.head.bias)


@pytest.mark.parametrize("embedding", TIME_EMBEDDINGS)
def test_padding_never_reaches_the_logits(embedding):
    model = build(embedding=embedding).eval()
    clean = model(draw()[0], None, LENGTHS)
    for padding in (-1.0, 1e4, float("nan")):
        torch.testing.assert_close(model(draw(padding=padding)[0], None, LENGTHS), clean, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("embedding", "parameters"),
    [("position", 241_418), ("sincos", 216_330), ("lete", 221_370), ("kan_mammote", 241_582)],
)
def test_the_four_models_have_the_stated_sizes(embedding, parameters):
    model = build(embedding=embedding)
    assert sum(value.numel() for value in model.parameters() if value.requires_grad) == parameters


@pytest.mark.parametrize("embedding", [name for name in TIME_EMBEDDINGS if name not in {"none", "sincos"}])
def test_recomputing_the_encoder_changes_no_gradient(embedding):
    gradients = []
    for checkpoint_embedding in (False, True):
        model = build(embedding=embedding, dropout=0.5, checkpoint_embedding=checkpoint_embedding)
        torch.manual_seed(1)
        loss = nn.functional.cross_entropy(model(draw()[0], None, LENGTHS), torch.arange(len(LENGTHS)))
        penalty = model.penalty()
        (loss if penalty is None else loss + penalty).backward()
        gradients.append([value.grad for value in model.parameters() if value.requires_grad])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, atol=1e-7, rtol=0)


def test_models_of_one_seed_share_the_recurrent_weights_whatever_the_embedding():
    first, second = build(embedding="position"), build(embedding="kan_mammote")
    for name, value in first.layers.state_dict().items():
        assert torch.equal(value, second.layers.state_dict()[name])
    assert torch.equal(first.head.weight, second.head.weight)


def test_dropout_falls_between_the_layers_and_before_the_head():
    times = draw()[0]
    for layers in (1, 2):
        model = build(dropout=0.9, num_layers=layers)
        assert not torch.equal(model(times, None, LENGTHS), model(times, None, LENGTHS))
        model.eval()
        assert torch.equal(model(times, None, LENGTHS), model(times, None, LENGTHS))


def cost_of(cuts, lengths):
    return sum(
        (end - start) * sum(length > start for length in lengths) + classifier.CALL_COST_EVENTS
        for start, end in pairwise([0, *cuts])
    )


@pytest.mark.parametrize("seed", range(5))
def test_cuts_are_the_cheapest_of_all(seed):
    generator = torch.Generator().manual_seed(seed)
    lengths = sorted(torch.randint(0, 120, (14,), generator=generator).tolist(), reverse=True)
    places = sorted(set(lengths) - {0, lengths[0]})
    cheapest = min(
        cost_of([*chosen, lengths[0]], lengths)
        for count in range(len(places) + 1)
        for chosen in combinations(places, count)
    )
    cuts = cut_in_time(lengths)
    assert cost_of(cuts, lengths) == cheapest
    assert cuts == sorted(set(cuts))
    assert cuts[-1] == lengths[0]


def test_no_event_needs_no_cut():
    assert cut_in_time([]) == cut_in_time([0, 0]) == []
    assert cut_in_time([7]) == [7]
