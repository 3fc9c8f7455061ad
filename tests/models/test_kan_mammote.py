"""KAN-MAMMOTE: its mixture, its wiring against an event-by-event version, its regularisers and its switches."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from models.basis import WaveletBasis
from models.config import ModelError
from models.kan import KANSpline
from models.kmote import KMOTE, expert_input, gating, top_gates
from models.time_embeddings.kan_mammote import KANMAMMOTEConfig
from models.time_embeddings.kmote_expert import KMOTEFourierConfig

HORIZON = 784
LENGTHS = torch.tensor([9, 1, 0, 30])


def build(seed=0, **fields):
    torch.manual_seed(seed)
    return KANMAMMOTEConfig(**fields).build(horizon=HORIZON)


def draw_times(seed=0):
    generator = torch.Generator().manual_seed(seed)
    times = torch.zeros(len(LENGTHS), 30)
    for row, length in enumerate(LENGTHS.tolist()):
        times[row, :length] = torch.randperm(HORIZON, generator=generator)[:length].sort().values.float()
    return times


def trainable(module):
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def mixture_of_event(kmote, value, context):
    """The mixture of one event, expert by expert."""
    logits = kmote.router(context[None])[0]
    chosen = sorted(range(len(logits)), key=lambda e: -logits[e].item())[: kmote.k_top]
    total = sum(math.exp(logits[e].item()) for e in chosen)
    code = 0
    for e in chosen:
        out = kmote.experts[e](value[None])[0]
        out = (out - out.mean()) / (out.var(correction=0) + 1e-5).sqrt()
        code = code + math.exp(logits[e].item()) / total * out
    return kmote.norm(code)


def mamba_of_sequence(block, hidden, drive):
    """A Mamba block one event at a time: Gu and Dao 2023, algorithm 2, with `drive` added to the step sizes."""
    normed = hidden / (hidden.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt() * block.norm.weight
    x, z = (normed @ block.in_proj.weight.T).chunk(2, dim=-1)
    rank, states, state, out = block.dt_proj.weight.shape[1], block.A_log.shape[1], 0, []
    for k in range(len(hidden)):
        mixed = block.conv1d.bias + sum(block.conv1d.weight[:, 0, 3 - j] * x[k - j] for j in range(min(k + 1, 4)))
        mixed = mixed * mixed.sigmoid()
        r, b, c = (block.x_proj.weight @ mixed).split([rank, states, states])
        step = (block.dt_proj.weight @ r + drive[k] + block.dt_proj.bias).exp().add(1).log()
        state = (-step[:, None] * block.A_log.exp()).exp() * state + (step * mixed)[:, None] * b
        out.append(block.out_proj.weight @ ((state @ c + block.D * mixed) * z[k] * z[k].sigmoid()))
    return torch.stack(out)


def codes_of_sequence(embedding, times):
    """The definition, one event at a time; only the bases and FasterKAN are shared with the module."""
    config = embedding.config
    gaps = [0.0, *(later - earlier for earlier, later in pairwise(times))]
    u = [torch.tensor(2 * time / HORIZON - 1, dtype=torch.float64) for time in times]
    s = [torch.tensor(2 * math.log1p(gap) / math.log1p(HORIZON) - 1, dtype=torch.float64) for gap in gaps]
    codes = [mixture_of_event(embedding.kmote, u[k], torch.stack([u[k], s[k]])) for k in range(len(times))]
    zero, delta = torch.zeros(config.dim, dtype=torch.float64), []
    for k in range(len(times)):
        if config.delta_mode == "kan_diff":
            f = [embedding.faster_kan(codes[j][None])[0] for j in (k, max(k - 1, 0))]
            delta.append(f[0] - f[1])
        elif config.delta_mode == "diff_kan":
            delta.append(embedding.faster_kan((codes[k] - codes[k - 1])[None])[0] if k else zero)
        elif config.delta_mode == "kmote_rel":
            delta.append(mixture_of_event(embedding.kmote_rel, s[k], torch.stack([u[k], s[k]])))
    hidden = embedding.enter(torch.stack(codes))
    for block in embedding.blocks:
        push = config.gamma * torch.stack(delta) @ block.delta_proj.weight.T if delta else torch.zeros(len(times), 1)
        hidden = hidden + mamba_of_sequence(block, hidden, push)
    return embedding.norm(torch.stack(codes) + embedding.leave(hidden))


@pytest.mark.parametrize("delta_mode", ["kan_diff", "diff_kan", "kmote_rel", "none"])
@pytest.mark.parametrize("num_mamba_layers", [1, 2])
def test_a_batch_equals_the_definition_event_by_event(delta_mode, num_mamba_layers):
    embedding = build(delta_mode=delta_mode, num_mamba_layers=num_mamba_layers, dim=8, gamma=2.0).double().eval()
    with torch.no_grad():
        for parameter in embedding.kmote.router[-1].parameters():
            parameter.normal_()
        times = draw_times()
        codes = embedding(times, LENGTHS)
        for row, length in enumerate(LENGTHS.tolist()):
            if length:
                expected = codes_of_sequence(embedding, times[row, :length].tolist())
                torch.testing.assert_close(codes[row, :length], expected, atol=1e-6, rtol=0)


def test_compiled_codes_and_gradients_equal_those_of_the_reference():
    results = []
    for dtype in (torch.float32, torch.float64):
        embedding = build(router_noise=0.0).to(dtype)
        codes = embedding(draw_times(), LENGTHS)
        real = torch.cat([codes[row, :length] for row, length in enumerate(LENGTHS.tolist())])
        weight = torch.linspace(-1, 1, real.numel(), dtype=dtype).view_as(real)
        parameters = [parameter for parameter in embedding.parameters() if parameter.requires_grad]
        results.append((real, torch.autograd.grad((real * weight).sum() + embedding.penalty(), parameters)))
    torch.testing.assert_close(results[0][0].double(), results[1][0], atol=2e-4, rtol=0)
    for ours, expected in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(ours.double(), expected, atol=2e-3 * expected.abs().max().item(), rtol=0)


def test_the_parts_have_the_stated_sizes():
    embedding = build()
    assert trainable(embedding) == 25_252
    assert trainable(embedding.kmote.router) == 2404
    assert [trainable(expert) for expert in embedding.kmote.experts] == [1568, 320, 1536, 1536]
    assert trainable(embedding.faster_kan) == 5184
    assert trainable(embedding.blocks[0]) == 10_432 + 32
    assert trainable(embedding.enter) == trainable(embedding.leave) == 1056


@pytest.mark.parametrize(("fields", "missing"), [
    ({"gamma": 0.0}, 5184 + 2048),
    ({"delta_mode": "none"}, 5184 + 2048),
    ({"delta_mode": "diff_kan"}, 0),
    ({"delta_mode": "kmote_rel"}, 5184 - (2404 + 1568 + 320 + 1536 + 1536 + 64)),
    ({"num_mamba_layers": 0}, 5184 + 1056 + 10_464 + 1056 + 64),
    ({"num_mamba_layers": 2}, -10_464),
])  # fmt: skip
def test_what_is_switched_off_is_not_built(fields, missing):
    assert trainable(build(**fields)) == 25_252 - missing


@pytest.mark.parametrize("fields", [
    {"k_top": 1}, {"k_top": 4}, {"num_experts": 1, "k_top": 1}, {"num_experts": 6, "k_top": 3}, {"wavelet": "morlet"},
    {"kan_grid_size": 3}, {"kan_grid_size": 9, "kan_grid_min": -1, "kan_grid_max": 3}, {"hidden_dim_mamba": 12},
    {"state_dim_mamba": 5}, {"num_mamba_layers": 3}, {"delta_mode": "kmote_rel"}, {"delta_mode": "diff_kan"},
    {"num_mamba_layers": 0}, {"dim": 6}, {"time_scale": "unit"}, {"router_noise": 0.0, "k_top": 4},
    {"lambda_sobolev": 1e-3, "lambda_total_variation": 1e-4},
], ids=str)  # fmt: skip
def test_every_switch_gives_a_module_in_which_everything_learns(fields):
    embedding = build(**fields)
    reached = set()
    for seed in range(3):
        codes = embedding(draw_times(seed), LENGTHS)
        (torch.randn(codes.shape) * codes)[:, :9].sum().add(embedding.penalty()).backward()
        reached |= {name for name, value in embedding.named_parameters() if value.grad is not None and value.grad.any()}
    expected = {name for name, value in embedding.named_parameters() if value.requires_grad}
    assert expected == reached


def test_raw_times_are_finite_though_most_experts_do_not_reach_them():
    embedding = build(time_scale="raw")
    assert embedding(draw_times(), LENGTHS).isfinite().all()


def test_exactly_k_top_gates_are_open_and_sum_to_one():
    logits = torch.randn(200, 6)
    for k_top in range(1, 7):
        gates = top_gates(logits, k_top)
        assert ((gates != 0).sum(dim=-1) == k_top).all()
        torch.testing.assert_close(gates.sum(dim=-1), torch.ones(200))
        assert (gates.topk(k_top).indices.sort().values == logits.topk(k_top).indices.sort().values).all()
    torch.testing.assert_close(top_gates(logits, 6), logits.softmax(dim=-1))


def test_every_expert_learns_from_the_first_batch_in_ten_of_ten_seeds():
    for seed in range(10):
        embedding = build(seed)
        embedding(draw_times(seed), LENGTHS).square().sum().add(embedding.penalty()).backward()
        for expert in embedding.kmote.experts:
            assert all(parameter.grad.any() for parameter in expert.parameters() if parameter.requires_grad)


def test_noise_on_the_router_is_there_in_training_only():
    embedding = build(router_noise=5.0)
    first, second = (embedding(draw_times(), LENGTHS) for _ in range(2))
    assert not torch.equal(first, second)
    embedding.eval()
    assert torch.equal(embedding(draw_times(), LENGTHS), embedding(draw_times(), LENGTHS))


def test_balance_is_1_when_uniform_and_e_over_k_when_collapsed():
    counts = torch.tensor([3, 1, 4, 8])
    even = torch.tensor([[0.0, 0, 0, 0]] * 4)
    half = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    uniform = gating(even, half, torch.tensor([1, 1, 1, 1]))
    assert uniform.balance.item() == pytest.approx(1)
    assert uniform.entropy.item() == pytest.approx(math.log(2))
    collapsed_logits = torch.tensor([[50.0, 50, -50, -50]] * 4)
    collapsed = gating(collapsed_logits, top_gates(collapsed_logits, 2), counts)
    assert collapsed.balance.item() == pytest.approx(4 / 2)
    assert collapsed.load.tolist() == pytest.approx([0.5, 0.5, 0, 0])


def test_the_balance_weighs_probabilities_by_events():
    logits = torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])  # probabilities 1/4, 3/4 and 4/5, 1/5
    found = gating(logits, torch.tensor([[0.0, 1], [1, 0]]), torch.tensor([3, 1]))
    first = (3 * 0.25 + 0.8) / 4
    assert found.balance.item() == pytest.approx(2 * (0.25 * first + 0.75 * (1 - first)))


def test_noise_on_the_router_has_the_stated_size(monkeypatch):
    embedding = build(router_noise=0.25, num_mamba_layers=0, k_top=4)
    embedding.kmote.router[-1].weight.data.zero_()
    push = torch.tensor([2.0, 0.0, -1.0, 1.0])
    monkeypatch.setattr(torch, "randn_like", push.expand_as)
    embedding(torch.tensor([[3.0, 50.0]]), torch.tensor([2]))
    loads = (0.25 * push).softmax(dim=0)
    assert embedding.diagnostics()["gate_entropy"] == pytest.approx(-(loads * loads.log()).sum().item())


def test_regularisers_of_neighbouring_steps_need_neighbours():
    config = KANMAMMOTEConfig(lambda_total_variation=1e-4)
    with pytest.raises(ModelError, match=r"need 3 whole time steps below the horizon, got a horizon of 2\."):
        config.build(horizon=2)
    embedding = config.build(horizon=2.5)
    embedding(torch.tensor([[0.0, 2.0]]), torch.tensor([2]))
    assert embedding.penalty().isfinite()


def test_the_waves_of_raw_times_are_named_as_raw_frequencies():
    raw, scaled = build(time_scale="raw"), build()
    assert raw.raw_frequencies() == [raw.kmote.experts[0].frequencies]
    assert scaled.raw_frequencies() == []
    alone = {scale: KMOTEFourierConfig(time_scale=scale).build(horizon=HORIZON) for scale in ("raw", "auto", "unit")}
    assert alone["raw"].raw_frequencies() == [alone["raw"].expert.frequencies]
    assert alone["auto"].raw_frequencies() == alone["unit"].raw_frequencies() == []


@pytest.mark.parametrize("horizon", [300, 2000.5])
def test_the_experts_see_numbers_from_minus_1_to_1_whatever_the_horizon(horizon):
    for time_input in ("absolute", "gap"):
        ends = expert_input(torch.tensor([0.0, horizon]), horizon, time_input)
        assert ends.tolist() == pytest.approx([-1, 1])


def test_load_counts_events_not_pairs():
    gates = torch.tensor([[1.0, 0], [0, 1]])
    assert gating(torch.zeros(2, 2), gates, torch.tensor([3, 1])).load.tolist() == pytest.approx([0.75, 0.25])


def test_the_penalty_weighs_balance_and_smoothness_of_the_normalised_experts():
    embedding = build(load_balance=0.0, lambda_sobolev=2.0, lambda_total_variation=3.0)
    embedding(draw_times(), LENGTHS)
    codes = []
    for expert in embedding.kmote.experts:
        out = expert(2 * torch.arange(HORIZON).float() / HORIZON - 1)
        codes.append(nn.functional.layer_norm(out, (32,)))
    phi = torch.stack(codes)
    variation = (phi[:, 1:] - phi[:, :-1]).abs().mean()
    sobolev = (phi[:, 2:] - 2 * phi[:, 1:-1] + phi[:, :-2]).square().mean()
    torch.testing.assert_close(embedding.penalty(), 2 * sobolev + 3 * variation, atol=1e-4, rtol=1e-4)
    plain = build()
    plain(draw_times(), LENGTHS)
    assert plain.penalty().item() == pytest.approx(0.01, rel=0.2)


def test_diagnostics_name_every_expert():
    embedding = build(num_experts=6, k_top=3, delta_mode="kmote_rel")
    embedding(draw_times(), LENGTHS)
    kinds = ["fourier", "spline", "gaussian", "wavelet", "fourier_2", "spline_2"]
    scalars = embedding.diagnostics()
    for gate in ("gate", "gap_gate"):
        assert sum(scalars.pop(f"{gate}_load_{kind}") for kind in kinds) == pytest.approx(1)
        assert 0 < scalars.pop(f"{gate}_entropy") <= math.log(3) + 1e-6
    assert scalars == {}


def test_diagnostics_and_penalty_are_of_the_last_training_forward():
    embedding = build()
    assert embedding.penalty() is None
    assert embedding.diagnostics() == {}
    embedding(draw_times(), LENGTHS)
    before = embedding.diagnostics()
    embedding.eval()(draw_times(1), LENGTHS)
    assert embedding.diagnostics() == before
    embedding.train()(draw_times(), torch.zeros_like(LENGTHS))
    assert embedding.penalty() is None


@pytest.mark.parametrize(("part", "named"), [("kmote.norm.weight", "kmote"), ("blocks.0.D", "Mamba")])
def test_a_value_that_is_not_finite_raises_and_names_the_module(part, named):
    embedding = build()
    with torch.no_grad():
        embedding.get_parameter(part).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=f"kan_mammote.*{named}"):
        embedding(draw_times(), LENGTHS)


def test_times_that_fall_raise():
    with pytest.raises(ModelError, match="must ascend, got a gap of -2"):
        build()(torch.tensor([[5.0, 3.0]]), torch.tensor([2]))


def test_time_scales_feed_the_experts_the_stated_numbers():
    times, gaps = torch.tensor([0.0, 392, 784]), torch.tensor([0.0, 783, 784])
    u, s = ({scale: build(time_scale=scale) for scale in ("auto", "raw", "unit")} for _ in range(2))
    assert u["auto"]._scaled(times, "absolute").tolist() == [-1, 0, 1]
    assert s["auto"]._scaled(gaps, "gap").tolist() == pytest.approx([-1, 2 * math.log(784) / math.log(785) - 1, 1])
    assert u["raw"]._scaled(times, "absolute").tolist() == times.tolist()
    assert s["raw"]._scaled(gaps, "gap").tolist() == gaps.tolist()
    assert u["unit"]._scaled(times, "absolute").tolist() == [0, 0.5, 1]
    assert s["unit"]._scaled(gaps, "gap").tolist() == pytest.approx([0, 783 / 784, 1])


def test_a_mixture_is_built_from_experts_in_turn():
    torch.manual_seed(0)
    fields = {"dim": 4, "k_top": 2, "router": "learned", "router_noise": 0.0, "grid_size": 5, "horizon": 20}
    fields |= {"wavelet": "mexican_hat"}
    names = KMOTE(experts="fourier+spline+gaussian+wavelet", num_experts=9, **fields).expert_names
    assert names[3:] == ["wavelet", "fourier_2", "spline_2", "gaussian_2", "wavelet_2", "fourier_3"]
    mixture = KMOTE(experts="wavelet+spline", num_experts=3, **fields)
    assert mixture.expert_names == ["wavelet", "spline", "wavelet_2"]
    assert [type(expert) for expert in mixture.experts] == [WaveletBasis, KANSpline, WaveletBasis]


def test_uniform_gates_give_the_norm_of_the_mean_of_the_experts_and_nothing_to_balance():
    embedding = build(router="uniform", num_mamba_layers=0, experts="spline+gaussian+wavelet", num_experts=3)
    times = torch.tensor([[3.0, 50, 700]])
    codes = embedding(times, torch.tensor([3]))[0]
    experts = [
        nn.functional.layer_norm(expert(2 * times[0] / HORIZON - 1), (32,)) for expert in embedding.kmote.experts
    ]
    torch.testing.assert_close(codes, embedding.kmote.norm(sum(experts) / 3), atol=1e-5, rtol=0)
    assert trainable(embedding) == 320 + 1536 + 1536 + 64
    assert embedding.penalty().item() == 0
    loads = {f"gate_load_{kind}": pytest.approx(1 / 3) for kind in ("spline", "gaussian", "wavelet")}
    assert embedding.diagnostics() == {**loads, "gate_entropy": pytest.approx(math.log(3))}


def test_a_lone_expert_has_no_router():
    embedding = build(num_experts=1, k_top=1, experts="gaussian", num_mamba_layers=0)
    assert trainable(embedding) == 1536 + 64
    embedding(draw_times(), LENGTHS)
    assert embedding.penalty().item() == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"k_top": 5}, "at most num_experts"),
        ({"kan_grid_min": 2.0}, "above kan_grid_min"),
        ({"k_top": 1, "load_balance": 0.0}, "load_balance: must be above 0 with k_top 1"),
        ({"experts": "fourier+sine"}, "some of fourier, spline, gaussian, wavelet"),
        ({"experts": "spline+fourier+spline"}, "each once"),
        ({"experts": ""}, "some of fourier"),
        ({"router": "none"}, "'learned' or 'uniform'"),
    ],
)
def test_configs_that_do_not_fit_together_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        KANMAMMOTEConfig(**fields)


def test_a_copy_leaves_the_penalty_behind():
    embedding = build()
    embedding(draw_times(), LENGTHS)
    assert copy.deepcopy(embedding).penalty() is None
    assert embedding.penalty() is not None
