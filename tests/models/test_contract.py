"""The contract of a time embedding, held by everything in the registry; broken embeddings show that it can fail."""

import copy
import math
import sys
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from models.classifier import LSTMConfig
from models.time_embeddings import TIME_EMBEDDINGS, PointwiseEmbedding, TimeEmbedding
from models.time_embeddings.base import valid_events
from models.time_embeddings.none import NoTime
from models.time_embeddings.order import Order
from models.time_embeddings.position import Position

HORIZON = 784
LENGTHS = torch.tensor([40, 1, 0, 30, 2, 12])
LONGEST = 200
CUTS = torch.cat([torch.arange(1, 40), torch.arange(40, LONGEST, 7)])
"""Every early event, then each seventh: a step that is odd meets every place of a block of 8, 16 or 32."""
TABLES = (784, 28, 27, 30)
"""Rows of the tables: one for each time, and one for each row and column of an image."""
MOST = 0.55
TOLD = 1e-5
SEES = {"none": "", "order": "p", "time_and_gap": "td", "position_and_gap": "td", "kmote": "td"}
SEES |= {"position_mamba": "tdh", "kan_mammote": "tdh"}
"""What the code of an event follows: its time t, the gap d before it, the history h, its place p; t or d alone where not listed."""
CHECKS: dict[str, Callable] = {}
OF_THE_CLASS: set[str] = set()
"""The checks of what no field changes: how a class draws, keeps its state, gathers, and meets autocast and copying."""


def check(function):
    CHECKS[function.__name__] = function
    return function


def check_of_the_class(function):
    OF_THE_CLASS.add(function.__name__)
    return check(function)


def draw_times(seed=0, padding=0.0, lengths=LENGTHS):
    generator = torch.Generator().manual_seed(seed)
    times = torch.full((len(lengths), int(lengths.max())), padding)
    for row, length in enumerate(lengths.tolist()):
        times[row, :length] = torch.randperm(HORIZON, generator=generator)[:length].sort().values.float()
    times[0, :3] = torch.arange(3.0)
    return times


def evaluate(embedding, times, lengths=LENGTHS):
    embedding.eval()
    with torch.no_grad():
        return embedding(times, lengths)


def real(codes, lengths=LENGTHS):
    return codes[valid_events(codes[..., 0], lengths)]


def train_forward(embedding, padding=0.0):
    torch.manual_seed(5)
    codes = real(embedding.train()(draw_times(padding=padding), LENGTHS))
    weights = torch.randn(codes.shape, generator=torch.Generator().manual_seed(1))
    penalty = embedding.penalty()
    return (codes * weights).sum() + (0 if penalty is None else penalty)


def gradients(embedding, padding=0.0):
    """Return the loss of a training step and the gradient of every parameter that is trained."""
    embedding.zero_grad()
    loss = train_forward(embedding, padding)
    parameters = {name: parameter for name, parameter in embedding.named_parameters() if parameter.requires_grad}
    if parameters:
        loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in parameters.items()}


@check
def later_events_do_not_change_earlier_codes(make):
    """Cut at many events: a row that ends there, and one that goes on otherwise, agree with the whole before it."""
    longest = torch.tensor([LONGEST])
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        embedding = make().to(dtype)
        times = draw_times(lengths=longest).clamp_max(HORIZON - LONGEST).to(dtype)
        codes = evaluate(embedding, times, longest)
        before = torch.arange(LONGEST) < CUTS[:, None]
        other = torch.where(before, times, torch.arange(HORIZON - LONGEST, HORIZON).to(dtype))
        for rows, lengths in ((times.expand(len(CUTS), -1), CUTS), (other, longest.expand(len(CUTS)))):
            seen = evaluate(embedding, rows, lengths)[before]
            torch.testing.assert_close(seen, codes.expand(len(CUTS), -1, -1)[before], atol=tolerance, rtol=0)


@check
def padding_never_matters(make):
    embedding = make()
    codes = real(evaluate(embedding, draw_times()))
    loss, expected = gradients(embedding)
    for padding in (-1.0, 783.0, 1e4, float("nan")):
        padded = evaluate(embedding, draw_times(padding=padding))
        assert padded.isfinite().all()
        torch.testing.assert_close(real(padded), codes, atol=0, rtol=0)
        torch.testing.assert_close(gradients(embedding, padding), (loss, expected), atol=0, rtol=0)
    wider = nn.functional.pad(draw_times(), (0, 7), value=55.0)
    torch.testing.assert_close(real(evaluate(embedding, wider)), codes, atol=0, rtol=0)


@check
def the_rest_of_the_batch_never_matters(make):
    """In evaluation, and in training but for the noise on a router, which is drawn anew for each batch."""
    lengths = torch.cat([LENGTHS, torch.arange(60)])
    times, order = draw_times(lengths=lengths), torch.randperm(len(lengths))
    for training in (False, True):
        embedding = make().train(training)
        for part in embedding.modules():
            if hasattr(part, "router_noise"):
                part.router_noise = 0.0
        with torch.no_grad():
            codes = embedding(times, lengths)
            permuted = embedding(times[order], lengths[order])
            close = partial(torch.testing.assert_close, atol=1e-5, rtol=0)
            close(real(permuted, lengths[order]), real(codes[order], lengths[order]))
            for row, length in enumerate(LENGTHS.tolist()):
                alone = embedding(times[row : row + 1, : max(length, 1)], lengths[row : row + 1])
                close(alone[0, :length], codes[row, :length])


@check
def short_and_empty_sequences_have_finite_codes(make):
    embedding = make()
    for length in (0, 1, 2):
        for width in (max(length, 1), 5):
            codes = evaluate(embedding, torch.arange(1.0, width + 1)[None], torch.tensor([length]))
            assert codes.shape == (1, width, embedding.dim)
            assert codes.dtype == torch.float32
            assert codes[:, :length].isfinite().all()
    assert embedding.train()(torch.zeros(2, 3), torch.tensor([0, 0])).shape == (2, 3, embedding.dim)


@check
def odd_times_have_finite_codes_or_are_refused(make):
    embedding, times = make(), torch.tensor([[0.0, 1e-6, 0.5, 1e6]])
    try:
        assert evaluate(embedding, times, torch.tensor([4])).isfinite().all()
    except ValueError as error:
        assert "whole numbers" in str(error)  # noqa: PT017 - both outcomes are right


@check
def whole_number_tensors_are_times_too(make):
    embedding, times = make(), draw_times()
    torch.testing.assert_close(
        real(evaluate(embedding, times.to(torch.int16))), real(evaluate(embedding, times)), atol=1e-6, rtol=0
    )


@check
def every_parameter_learns_within_one_batch(make):
    """Of a table only the rows that occur, of a router what is not cut off by a ReLU; of others most entries.

    Not all, because local functions may miss every time of a batch.
    """
    embedding = make()
    before = {name: parameter.detach().clone() for name, parameter in embedding.named_parameters()}
    _, found = gradients(embedding)
    if not found:
        return
    for name, gradient in found.items():
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 0, name
        partly = len(gradient) in TABLES or "router" in name
        assert partly or (gradient != 0).double().mean() > MOST, f"{name} is mostly dead"
    parameters = dict(embedding.named_parameters())
    torch.optim.AdamW([parameters[name] for name in found], lr=1e-3, weight_decay=0).step()
    for name in found:
        assert not torch.equal(parameters[name], before[name]), name


@check_of_the_class
def the_same_seed_gives_the_same_codes(make):
    torch.testing.assert_close(evaluate(make(), draw_times()), evaluate(make(), draw_times()), atol=0, rtol=0)
    torch.testing.assert_close(train_forward(make()), train_forward(make()), atol=0, rtol=0)


@check_of_the_class
def a_saved_state_restores_the_codes(make):
    saved, restored = make(seed=0), make(seed=1)
    restored.load_state_dict(saved.state_dict())
    torch.testing.assert_close(evaluate(restored, draw_times()), evaluate(saved, draw_times()), atol=0, rtol=0)


@check_of_the_class
def autocast_changes_nothing(make):
    embedding, times = make(), draw_times()
    with torch.autocast("cpu", torch.bfloat16):
        codes = evaluate(embedding, times)
    assert codes.dtype == torch.float32
    torch.testing.assert_close(codes, evaluate(embedding, times), atol=0, rtol=0)


@check
def codes_have_the_dtype_of_the_parameters(make):
    embedding = make().double()
    for lengths in (LENGTHS, torch.zeros(6, dtype=torch.long)):
        codes = evaluate(embedding, draw_times().double(), lengths)
        assert codes.dtype == torch.float64
    assert evaluate(make(), draw_times().double()).dtype == torch.float32


@check_of_the_class
def gathering_equals_encoding_every_event(make):
    embedding = make()
    if isinstance(embedding, PointwiseEmbedding):
        times = draw_times()
        with torch.no_grad():
            direct = embedding.encode(real(embedding.inputs(times)[..., None])[:, 0] * embedding.time_factor)
        torch.testing.assert_close(real(evaluate(embedding, times)), direct, atol=1e-5, rtol=0)


@check
def codes_tell_what_the_embedding_says_it_sees(make):
    """Of an event's time t, the gap dt before it, and what was before: nothing else, and nothing less."""
    embedding = make()
    sees = getattr(embedding, "sees", "t")

    def differ(*sequences):
        codes = [evaluate(embedding, torch.tensor([times]), torch.tensor([len(times)]))[0, -1] for times in sequences]
        return bool((codes[0] - codes[1]).abs().max() > TOLD)

    assert differ([300.0, 320.0], [300.0, 345.0]) == (sees not in ("", "p"))
    assert differ([300.0, 340.0], [320.0, 340.0]) == ("d" in sees)
    assert differ([300.0, 340.0], [420.0, 460.0]) == ("t" in sees)
    assert differ([300.0, 340.0], [20.0, 50.0, 280.0, 300.0, 340.0]) == ("h" in sees or "p" in sees)


@check
def late_times_have_codes_of_their_own(make):
    """A time of 780 and more is rounded to a multiple of 4 in bf16."""
    embedding, late = make(), torch.arange(780.0, 784)
    if isinstance(embedding, NoTime | Order):
        return
    late = torch.stack([torch.zeros(4), late], dim=1)  # as times and as gaps
    codes = evaluate(embedding, late, torch.full((4,), 2))[:, 1]
    assert torch.pdist(codes).min() > 0


@check_of_the_class
def a_trained_module_can_be_copied(make):
    embedding = make()
    train_forward(embedding)
    torch.testing.assert_close(
        evaluate(copy.deepcopy(embedding), draw_times()), evaluate(embedding, draw_times()), atol=0, rtol=0
    )


@check
def a_trained_module_describes_itself(make):
    embedding = make()
    train_forward(embedding)
    assert all(isinstance(value, float) for value in embedding.diagnostics().values())
    penalty = embedding.penalty()
    assert penalty is None or penalty.shape == ()


def make_listed(name, seed=0, **fields):
    torch.manual_seed(seed)
    embedding = TIME_EMBEDDINGS[name](**fields).build(horizon=HORIZON)
    gap_alone = getattr(embedding, "time_input", "absolute") == "gap"
    sees = SEES.get(name, "d" if gap_alone else "t")
    sees = sees.replace("h", "") if fields.get("num_mamba_layers") == 0 else sees
    embedding.sees = sees.replace("t", "") if gap_alone else sees
    return embedding


@pytest.mark.parametrize("check_name", CHECKS)
@pytest.mark.parametrize("name", TIME_EMBEDDINGS)
def test_every_listed_embedding_keeps_the_contract(name, check_name):
    CHECKS[check_name](partial(make_listed, name))


VARIANTS = [
    ("time2vec", {"frequency_init": "uniform", "activation": "triangle"}),
    ("time2vec", {"frequency_init": "log", "activation": "mod"}),
    ("fte", {"time_input": "gap"}),
    ("row_column", {"time_input": "gap", "width": 30}),
    ("kmote_wavelet", {"time_input": "gap"}),
    ("kan_mammote", {"time_input": "gap"}),
]

EXPERTS = ["fourier", "spline", "gaussian", "wavelet"]
SWITCHES = [
    *({"experts": "+".join(kind for kind in EXPERTS if kind != out), "num_experts": 3} for out in EXPERTS),
    *({"experts": kind, "num_experts": 1, "k_top": 1} for kind in EXPERTS),
    *({"k_top": k_top} for k_top in (1, 2, 3, 4)),
    {"router": "uniform"},
    {"router": "uniform", "k_top": 1, "load_balance": 0.0},
    *({"delta_mode": mode} for mode in ("kan_diff", "diff_kan", "kmote_rel", "none")),
    {"delta_mode": "kmote_rel", "router": "uniform"},
    {"gamma": 0.0},
    {"num_mamba_layers": 0},
    {"load_balance": 0.0},
    {"lambda_sobolev": 1e-3},
    {"lambda_total_variation": 1e-4},
    {"time_scale": "unit"},
    {"time_scale": "raw"},
]
VARIANTS += [("kan_mammote", fields) for fields in SWITCHES]
VARIANTS += [("lete", fields) for fields in ({"p": 0.0}, {"p": 1.0}, {"layer_norm": False}, {"scale": False})]


@pytest.mark.parametrize("check_name", [name for name in CHECKS if name not in OF_THE_CLASS])
@pytest.mark.parametrize(("name", "fields"), VARIANTS, ids=str)
def test_fields_that_change_what_is_encoded_keep_the_contract(name, fields, check_name):
    if fields == {"time_scale": "raw"} and check_name == "every_parameter_learns_within_one_batch":
        pytest.skip("raw times lie outside [-1, 1], where Gaussians and wavelets are flat; the other checks hold")
    CHECKS[check_name](partial(make_listed, name, **fields))


@pytest.mark.parametrize(("name", "fields"), VARIANTS, ids=str)
def test_a_classifier_behind_every_switch_trains_two_steps(name, fields):
    torch.manual_seed(0)
    config = LSTMConfig.model_validate({"embedding": {"name": name, **fields}, "hidden_dim": 16, "dropout": 0.0})
    model = config.build(horizon=HORIZON, feature_dim=0, classes=3).train()
    optimiser = torch.optim.AdamW((weight for weight in model.parameters() if weight.requires_grad), lr=1e-3)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(draw_times(), None, LENGTHS), torch.tensor([0, 1, 2, 0, 1, 2]))
        penalty = model.penalty()
        (loss if penalty is None else loss + penalty).backward()
        optimiser.step()
        losses.append(loss.item())
    assert all(math.isfinite(loss) for loss in losses)
    assert len(set(losses)) == 3


@pytest.mark.parametrize("kind", TIME_EMBEDDINGS.values(), ids=TIME_EMBEDDINGS)
def test_every_listed_embedding_names_its_source_and_documents_its_fields(kind):
    docstring = sys.modules[kind.__module__].__doc__
    assert any(line.startswith("Source:") for line in docstring.splitlines())
    assert kind.__doc__
    for name, field in kind.model_fields.items():
        assert field.description or name == "name", name


@pytest.mark.parametrize("time", [0.5, -1.0, 784.0, float("nan")])
def test_a_table_refuses_events_that_are_not_its_rows(time):
    with pytest.raises(ValueError, match=r"whole numbers in \[0, 784\)"):
        make_listed("position")(torch.tensor([[1.0, time]]), torch.tensor([2]))


class Broken(TimeEmbedding):
    def __init__(self):
        super().__init__(4)
        self.line = nn.Linear(1, 4)

    def embed(self, times, lengths):
        return self.line(self.seen(times, lengths).to(self.line.weight.dtype)[..., None] / HORIZON)


class SeesTheFuture(Broken):
    def seen(self, times, lengths):
        last = times.gather(1, (lengths - 1).clamp_min(0)[:, None])
        return times.nan_to_num() / (1 + last.nan_to_num())


class SeesPadding(Broken):
    def seen(self, times, lengths):
        return times + times.sum(dim=1, keepdim=True) + 0 * lengths[:, None]


class SeesTheBatch(Broken):
    def seen(self, times, lengths):
        return times.nan_to_num() - real(times[..., None], lengths).mean()


class SeesPlaces(Broken):
    def seen(self, times, lengths):
        return torch.arange(times.shape[1]).expand_as(times) + lengths[:, None] * 0


class SeesTheNextEvent(Broken):
    def seen(self, times, lengths):
        times = torch.where(valid_events(times, lengths), times, 0)
        if times.shape[1] > 21:
            times[:, 20] += times[:, 21]
        return times


class SeesTheEndOfLongSequences(Broken):
    def seen(self, times, lengths):
        return times + 10.0 * (lengths[:, None] > 64)


class ScalesLargeBatches(Broken):
    def seen(self, times, lengths):
        return times * (2 if lengths.sum() > 200 else 1)


class NormalisesBatchesInTraining(Broken):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1)

    def seen(self, times, lengths):
        return self.norm(times.to(self.line.weight.dtype).reshape(-1, 1)).view_as(times) + 0 * lengths[:, None]


class SeesNothing(Broken):
    def seen(self, times, lengths):
        return torch.ones_like(times) + 0 * lengths[:, None]


class SeesTheGapToo(Broken):
    def seen(self, times, lengths):
        return times + times.diff(dim=1, prepend=times[:, :1]) + 0 * lengths[:, None]


class AddsThePlace(Broken):
    def seen(self, times, lengths):
        return times + torch.arange(times.shape[1]) + 0 * lengths[:, None]


class RoundsTimes(Broken):
    def seen(self, times, lengths):
        return times.bfloat16().to(times.dtype) + 0 * lengths[:, None]


class PenalisesPadding(Broken):
    def seen(self, times, lengths):
        self.mean = self.line(torch.nan_to_num(times)[..., None]).mean()
        return torch.where(valid_events(times, lengths), times, 0)

    def penalty(self):
        return self.mean


class SpoilsGradientsByPadding(Broken):
    def embed(self, times, lengths):
        return torch.where(valid_events(times, lengths)[..., None], self.line(times[..., None]), 0)


class IsHalfDead(Broken):
    def __init__(self):
        super().__init__()
        self.offset = nn.Parameter(torch.ones(4))

    def embed(self, times, lengths):
        return super().embed(times, lengths) + self.offset * torch.tensor([1.0, 1.0, 0.0, 0.0])

    def seen(self, times, lengths):
        return times + 0 * lengths[:, None]


class HasADeadParameter(Broken):
    def __init__(self):
        super().__init__()
        self.dead = nn.Parameter(torch.ones(1))

    def seen(self, times, lengths):
        return times + 0 * lengths[:, None]


class FollowsAutocast(Broken):
    def forward(self, times, lengths):
        return self.line(times[..., None]) + 0 * lengths[:, None, None]


class RefusesNothing(Position):
    def encode(self, times):
        return self.table.weight[times.long() % HORIZON] / (times[:, None] < HORIZON).to(torch.float32).log().exp()


def make_broken(kind, seed=0):
    torch.manual_seed(seed)
    return kind(dim=4, horizon=HORIZON) if issubclass(kind, Position) else kind()


@pytest.mark.parametrize(
    ("kind", "caught_by", "reason"),
    [
        (SeesTheFuture, "later_events_do_not_change_earlier_codes", "not close"),
        (SeesPadding, "padding_never_matters", "not equal"),
        (SeesTheBatch, "the_rest_of_the_batch_never_matters", "not close"),
        (SeesTheNextEvent, "later_events_do_not_change_earlier_codes", "not close"),
        (SeesTheEndOfLongSequences, "later_events_do_not_change_earlier_codes", "not close"),
        (ScalesLargeBatches, "the_rest_of_the_batch_never_matters", "not close"),
        (NormalisesBatchesInTraining, "the_rest_of_the_batch_never_matters", "not close"),
        (SeesPlaces, "codes_tell_what_the_embedding_says_it_sees", "differ"),
        (SeesNothing, "codes_tell_what_the_embedding_says_it_sees", "differ"),
        (SeesTheGapToo, "codes_tell_what_the_embedding_says_it_sees", "differ"),
        (AddsThePlace, "codes_tell_what_the_embedding_says_it_sees", "differ"),
        (RoundsTimes, "late_times_have_codes_of_their_own", "pdist"),
        (PenalisesPadding, "padding_never_matters", "not equal"),
        (SpoilsGradientsByPadding, "padding_never_matters", "not equal"),
        (IsHalfDead, "every_parameter_learns_within_one_batch", "^offset is mostly dead"),
        (HasADeadParameter, "every_parameter_learns_within_one_batch", "^dead"),
        (FollowsAutocast, "autocast_changes_nothing", "bfloat16"),
        (RefusesNothing, "odd_times_have_finite_codes_or_are_refused", "isfinite"),
    ],
)
def test_the_contract_catches_a_broken_embedding(kind, caught_by, reason):
    CHECKS["short_and_empty_sequences_have_finite_codes"](partial(make_broken, kind))  # it is built and runs
    with pytest.raises(AssertionError, match=reason):
        CHECKS[caught_by](partial(make_broken, kind))
