"""The contract of every listed backbone, and each new one against an independent computation."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from models.config import ModelError
from models.lstm.choice import can_compile
from models.registry import MODELS
from models.selective_scan import Ragged
from models.time_embeddings import TIME_EMBEDDINGS
from models.transformer import TransformerBlock, TransformerConfig

HORIZON = 784
LENGTHS = torch.tensor([3, 40, 1, 17, 0, 2, 40, 5])
EACH = pytest.mark.parametrize("backbone", MODELS)


def draw(lengths=LENGTHS, padding=0.0):
    generator = torch.Generator().manual_seed(0)
    times = torch.full((len(lengths), max(int(lengths.max()), 1)), padding)
    features = torch.full((*times.shape, 2), padding)
    for row, length in enumerate(lengths.tolist()):
        times[row, :length] = torch.randperm(HORIZON, generator=generator)[:length].sort().values.float()
        features[row, :length] = torch.randn(length, 2, generator=generator)
    return times, features


def build(backbone, embedding="position", feature_dim=2, seed=0, **fields):
    torch.manual_seed(seed)
    config = MODELS[backbone](**{"hidden_dim": 32, "dropout": 0.0, **fields}, embedding=TIME_EMBEDDINGS[embedding]())
    return config.build(horizon=HORIZON, feature_dim=feature_dim, classes=10)


def close(ours, theirs, atol=1e-5):
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


@EACH
def test_what_follows_the_last_event_never_reaches_the_logits(backbone):
    model = build(backbone).eval()
    times, features = draw()
    cut = LENGTHS.clamp(max=4)
    later = model(times, features, cut)
    close(later, model(times[:, :4], features[:, :4], cut))
    for padding in (-1.0, 1e4, float("nan")):
        close(model(*draw(padding=padding), LENGTHS), model(times, features, LENGTHS), atol=0)


@EACH
def test_the_order_and_the_company_of_a_batch_never_matter(backbone):
    model = build(backbone).eval()
    times, features = draw()
    together = model(times, features, LENGTHS)
    order = torch.randperm(len(LENGTHS), generator=torch.Generator().manual_seed(1))
    close(model(times[order], features[order], LENGTHS[order]), together[order])
    for row in range(len(LENGTHS)):
        one = slice(row, row + 1)
        close(model(times[one], features[one], LENGTHS[one]), together[one])


@EACH
def test_an_empty_sequence_has_the_initial_state(backbone):
    model = build(backbone, feature_dim=0).eval()
    empty = model(torch.zeros(1, 1), None, torch.tensor([0]))[0]
    if backbone != "transformer":  # whose initial state is what the blocks make of its start
        close(empty, model.head.bias, atol=0)
    for lengths in (torch.tensor([0, 4, 0, 1]), torch.tensor([0, 0]), torch.tensor([1])):
        logits = model(draw(lengths)[0], None, lengths)
        assert logits.isfinite().all()
        for row in (lengths == 0).nonzero().flatten().tolist():
            close(logits[row], empty)


@EACH
def test_without_times_every_length_still_has_its_own_state(backbone):
    model = build(backbone, "none", feature_dim=0).eval()
    lengths = torch.tensor([0, 1, 2, 3, 40])
    logits = model(draw(lengths)[0], None, lengths)
    assert torch.pdist(logits).min() > 1e-4


@EACH
def test_padding_never_reaches_the_gradients(backbone):
    gradients = []
    for padding in (0.0, float("nan")):
        model = build(backbone)
        model(*draw(padding=padding), LENGTHS).square().sum().backward()
        gradients.append({name: value.grad for name, value in model.named_parameters()})
    for name, gradient in gradients[0].items():
        close(gradients[1][name], gradient, atol=0)


@EACH
@pytest.mark.parametrize("embedding", ["position", "kan_mammote"])
def test_every_parameter_gets_a_gradient_and_recomputing_the_encoder_changes_none(backbone, embedding):
    gradients = []
    for checkpoint_embedding in (False, True):
        model = build(backbone, embedding, dropout=0.5, checkpoint_embedding=checkpoint_embedding)
        torch.manual_seed(1)
        loss = nn.functional.cross_entropy(model(*draw(), LENGTHS), torch.arange(len(LENGTHS)))
        penalty = model.penalty()
        (loss if penalty is None else loss + penalty).backward()
        assert isinstance(model.diagnostics(), dict)
        trained = {name: value.grad for name, value in model.named_parameters() if value.requires_grad}
        assert all(gradient is not None and gradient.abs().max() > 0 for gradient in trained.values())
        gradients.append(trained)
    for name, gradient in gradients[0].items():
        close(gradients[1][name], gradient, atol=1e-6)


@EACH
def test_one_seed_gives_one_output_and_one_backbone_whatever_the_embedding(backbone):
    times, features = draw()
    first, again = build(backbone).eval(), build(backbone).eval()
    assert torch.equal(first(times, features, LENGTHS), again(times, features, LENGTHS))
    other = build(backbone, "lete")
    for name, value in first.layers.state_dict().items():
        assert torch.equal(value, other.layers.state_dict()[name])
    assert torch.equal(first.head.weight, other.head.weight)


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor has no bf16 instructions")
@EACH
def test_the_backbone_runs_under_autocast_and_near_its_own_precision(backbone):
    model = build(backbone).eval()
    exact = model(*draw(), LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        close(model(*draw(), LENGTHS).float(), exact, atol=0.05)


def distinct(rows):
    return len(rows.flatten(1).unique(dim=0))


@pytest.mark.parametrize("embedding", TIME_EMBEDDINGS)
@pytest.mark.parametrize("backbone", ["lstm", "gru"])
def test_bf16_gives_no_two_times_one_code(backbone, embedding, monkeypatch):
    """What the first layer reads of 784 times, and of 784 gaps: rounded once, `scalar` would keep 453 and `log_gap` 154."""
    model, read = build(backbone, embedding, feature_dim=0).eval(), []
    monkeypatch.setattr(type(model), "compiled", False)

    def record(parts, *_):
        read.append(parts)
        raise StopIteration

    monkeypatch.setattr(torch, backbone, record)
    times = torch.stack([torch.zeros(HORIZON), torch.arange(float(HORIZON))], dim=1)
    lengths = torch.full((HORIZON,), 2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), pytest.raises(StopIteration):
        model(times, None, lengths)
    codes = model.embedding(times, lengths)[:, 1]
    order = lengths.argsort(descending=True, stable=True)
    assert read[0].dtype == torch.bfloat16
    assert distinct(read[0][1]) == distinct(codes[order])


@pytest.mark.skipif(not can_compile(), reason="the compiled LSTM is not made for this processor")
@pytest.mark.parametrize("embedding", TIME_EMBEDDINGS)
def test_a_compiled_lstm_in_bf16_tells_as_many_times_apart_as_in_fp32(embedding, monkeypatch):
    monkeypatch.setattr("models.lstm.choice.can_compile", lambda **_: True)
    model, read = build("lstm", embedding, feature_dim=0, hidden_dim=128).eval(), []
    model.dropout.register_forward_pre_hook(lambda _, inputs: read.append(*inputs))
    times = torch.stack([torch.zeros(HORIZON), torch.arange(float(HORIZON))], dim=1)
    lengths = torch.full((HORIZON,), 2)
    with torch.no_grad():
        for enabled in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                model(times, None, lengths)
    states, rounded = read
    assert rounded.dtype == torch.float32
    assert not torch.equal(states, rounded)
    assert distinct(rounded) == distinct(states)


@pytest.mark.parametrize("backbone", ["mamba", "transformer"])
def test_the_map_of_the_codes_stays_in_float32_under_bf16(backbone):
    model, types = build(backbone).eval(), []
    model.layers[0].register_forward_hook(lambda _, __, output: types.append(output.dtype))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model(*draw(), LENGTHS)
    assert types == [torch.float32]


@pytest.mark.parametrize("backbone", ["lstm", "gru"])
def test_two_parts_of_a_code_go_through_the_weights_of_the_first_layer(backbone, monkeypatch):
    """The sum of both products, here in float32, is that of the codes up to what two numbers of bf16 cannot hold."""
    model = build(backbone, "scalar").eval()
    exact = model(*draw(), LENGTHS)
    run = getattr(torch, backbone)

    def in_float32(parts, *others):
        with torch.autocast("cpu", enabled=False):
            return run(parts.float(), *others)

    monkeypatch.setattr(torch, backbone, in_float32)
    monkeypatch.setattr(type(model), "compiled", False)
    for part in (*model.layers[1:], model.head):
        monkeypatch.setattr(part, "forward", torch.autocast("cpu", enabled=False)(part.forward))
    with torch.autocast("cpu", torch.bfloat16):
        close(model(*draw(), LENGTHS), exact, atol=1e-4)


@EACH
def test_every_field_of_a_backbone_is_documented(backbone):
    assert all(field.description for name, field in MODELS[backbone].model_fields.items() if name != "name")


def test_the_weights_of_an_lstm_keep_their_names():
    names = set(build("lstm", feature_dim=0).state_dict())
    cells = {f"layers.{k}.{kind}_{at}_l0" for k in (0, 1) for kind in ("weight", "bias") for at in ("ih", "hh")}
    assert names == cells | {"head.weight", "head.bias", "embedding.table.weight"}


def test_a_transformer_block_is_that_of_torch():
    torch.manual_seed(0)
    block = TransformerBlock(dim=16, num_heads=4, feedforward_dim=24, dropout=0.0)
    theirs = nn.TransformerEncoderLayer(16, 4, 24, 0.0, "gelu", batch_first=True, norm_first=True)
    own = {
        "self_attn.in_proj_": block.query_key_value,
        "self_attn.out_proj.": block.attention_out,
        "linear1.": block.feedforward[1],
        "linear2.": block.feedforward[4],
        "norm1.": block.attention_norm,
        "norm2.": block.feedforward[0],
    }
    theirs.load_state_dict(
        {f"{at}{name}": value for at, part in own.items() for name, value in part.named_parameters()}
    )
    h = torch.randn(3, 7, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(7)
    close(block(h), theirs(h, src_mask=mask, is_causal=True))


@pytest.mark.parametrize(("width", "layers", "heads", "feedforward"), [(128, 2, 4, 128), (24, 3, 2, 40)])
def test_a_transformer_has_the_parameters_of_its_closed_form(width, layers, heads, feedforward):
    config = TransformerConfig.model_validate(
        {"hidden_dim": width, "num_layers": layers, "num_heads": heads, "feedforward_dim": feedforward}
        | {"embedding": {"name": "none", "dim": 32}}
    )
    model = config.build(horizon=784, feature_dim=1, classes=10)
    # A linear map of n to m numbers has m (n + 1) parameters, a LayerNorm 2 n; a block has four maps in and out of
    # attention, two of the feedforward part, and two norms.
    block = 4 * width * (width + 1) + feedforward * (width + 1) + width * (feedforward + 1) + 2 * 2 * width
    start, norm = width, 2 * width
    expected = width * (33 + 1) + start + layers * block + norm + 10 * (width + 1)
    assert sum(value.numel() for value in model.parameters()) == expected


def test_a_mamba_backbone_is_its_blocks_one_sequence_at_a_time():
    model = build("mamba", feature_dim=0).eval()
    times = draw()[0]
    project, *blocks, norm = model.layers
    logits = model(times, None, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        if length:
            one = slice(row, row + 1)
            h = project(model.embedding(times[one, :length], LENGTHS[one])[0])
            for block in blocks:
                h = h + block(h, torch.arange(length), None, Ragged.of(LENGTHS[one]))
            close(logits[row], model.head(norm(h[-1])))


@EACH
@pytest.mark.parametrize("embedding", ["position", "lete", "kan_mammote"])
def test_a_frozen_encoder_keeps_its_values_and_the_backbone_trains(backbone, embedding):
    model = build(backbone, embedding, freeze_embedding=True)
    assert not any(value.requires_grad for value in model.embedding.parameters())
    free = build(backbone, embedding)
    assert all(torch.equal(value, free.state_dict()[name]) for name, value in model.state_dict().items())
    logits = model(*draw(), LENGTHS)
    nn.functional.cross_entropy(logits, torch.arange(len(LENGTHS))).backward()
    assert all(value.grad.abs().max() > 0 for value in model.layers.parameters())
    assert model.penalty() is None
    close(model(*draw(), LENGTHS), logits, atol=0)  # no noise of a router
    assert model.train().embedding.training is False


def test_shuffled_times_are_those_of_a_table_with_shuffled_rows():
    model, plain = build("lstm", shuffle_times=True).eval(), build("lstm").eval()
    assert torch.equal(model.time_order.sort().values, torch.arange(HORIZON))
    expected = model(*draw(), LENGTHS)
    assert not torch.allclose(plain(*draw(), LENGTHS), expected)
    with torch.no_grad():
        plain.embedding.table.weight.copy_(plain.embedding.table.weight[model.time_order])
    close(plain(*draw(), LENGTHS), expected, atol=0)


def test_times_that_are_no_rows_cannot_be_shuffled():
    times, features = draw(torch.tensor([2]))
    with pytest.raises(ModelError, match=r"model\.shuffle_times: event times must be whole numbers in \[0, 784\)"):
        build("lstm", "sincos", shuffle_times=True)(times + 0.5, features, torch.tensor([2]))


@pytest.mark.parametrize("embedding", ["kan_mammote", "position_gap"])
def test_an_encoder_of_gaps_cannot_have_its_times_shuffled(embedding):
    with pytest.raises(ValidationError, match="shuffle_times: must be false"):
        build("lstm", embedding, shuffle_times=True)


def test_the_heads_must_share_the_width():
    with pytest.raises(ValidationError, match="num_heads: must divide hidden_dim 32, got 5"):
        build("transformer", num_heads=5)
