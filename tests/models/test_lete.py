"""LeTE against the authors' module, and where it differs from it on purpose."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.time_embeddings.lete import LeTEConfig

GOLDEN = Path(__file__).parents[1] / "golden"


def build(**fields):
    torch.manual_seed(0)
    return LeTEConfig(**fields).build(horizon=784)


@pytest.mark.parametrize("file", ["lete_dim32_p05.npz", "lete_dim16_p025.npz"])
def test_the_authors_weights_give_the_authors_codes(file):
    golden = np.load(GOLDEN / file)
    embedding = build(dim=int(golden["dim"]), p=float(golden["p"]), slopes="linear").double()
    embedding.load_state_dict(
        {key.removeprefix("param/"): torch.from_numpy(golden[key]) for key in golden if key.startswith("param/")}
    )
    codes = embedding(torch.from_numpy(golden["times"]), torch.tensor([33, 33]))
    np.testing.assert_allclose(codes.detach().numpy(), golden["encoding"], atol=1e-10, rtol=0)


def test_the_default_has_5040_parameters():
    # Fourier 16*2 + 2*16*16*5 + 16, spline 16*2 + 16*16 + 16*16*8, LayerNorm 64, scale 32.
    assert sum(parameter.numel() for parameter in build().parameters()) == 2608 + 2336 + 96 == 5040


@pytest.mark.parametrize(("p", "fourier", "spline"), [(0, 0, 10), (0.25, 2, 8), (0.99, 9, 1), (1, 10, 0)])
def test_p_splits_the_dimensions_and_keeps_norm_and_scale(p, fourier, spline):
    embedding = build(dim=10, p=p)
    assert (0 if embedding.w1_fourier is None else embedding.w1_fourier.out_features) == fourier
    assert (0 if embedding.w1_spline is None else embedding.w1_spline.out_features) == spline
    codes = embedding(torch.arange(50.0)[None], torch.tensor([50]))[0]
    assert codes.shape == (50, 10)
    torch.testing.assert_close(codes.mean(dim=-1), torch.zeros(50), atol=1e-5, rtol=0)
    with torch.no_grad():
        embedding.scale_weight.mul_(3)
    torch.testing.assert_close(embedding(torch.arange(50.0)[None], torch.tensor([50]))[0], 3 * codes)


def test_norm_and_scale_can_be_left_out():
    embedding = build(layer_norm=False, scale=False)
    assert {name.split(".")[0] for name, _ in embedding.named_parameters()} == {
        f"w{step}_{half}" for step in (1, 2) for half in ("fourier", "spline")
    }


def test_slopes_start_on_a_ladder_from_1_to_a_billionth():
    slopes = build(dim=20).w1_fourier.weight.detach()[:, 0].log10()
    torch.testing.assert_close(slopes, -torch.arange(10.0), atol=1e-5, rtol=1e-5)


def test_the_form_of_the_slopes_changes_no_code_but_what_a_step_does():
    forms = {form: build(slopes=form) for form in ("log", "linear")}
    forms["linear"].load_state_dict(
        {
            (name.replace("exponent", "weight")): 10**value if name.endswith("exponent") else value
            for name, value in forms["log"].state_dict().items()
        }
    )
    times, lengths = torch.arange(784.0)[None], torch.tensor([784])
    codes = [form(times, lengths) for form in forms.values()]
    torch.testing.assert_close(*codes, atol=1e-4, rtol=0)
    moved = {}
    for name, form in forms.items():
        weights, before = form.raw_frequencies(), form.angular_frequencies()
        optimizer = torch.optim.Adam(weights, lr=0.01)
        form(times, lengths).square().cumsum(-1).sum().backward()
        optimizer.step()
        moved[name] = (form.angular_frequencies() / before - 1).abs()
    assert moved["log"].max() < 10**0.011 - 1
    assert moved["linear"].max() > 1e5


def test_no_weight_is_left_as_it_lay_in_memory():
    # torch.empty is filled with NaN here.
    torch.use_deterministic_algorithms(True)
    try:
        torch.manual_seed(0)
        assert torch.empty(3).isnan().all()
        embedding = LeTEConfig().build(horizon=784)
        assert embedding(torch.arange(784.0)[None], torch.tensor([784])).isfinite().all()
    finally:
        torch.use_deterministic_algorithms(False)


def test_unit_times_are_raw_times_over_the_horizon():
    times, lengths = torch.tensor([[3.0, 500, 783]]), torch.tensor([3])
    raw, unit, auto = (build(time_scale=scale) for scale in ("raw", "unit", "auto"))
    torch.testing.assert_close(unit(times, lengths), raw(times / 784, lengths), atol=1e-5, rtol=0)
    torch.testing.assert_close(auto(times, lengths), raw(times, lengths), atol=0, rtol=0)
