"""K-MOTE: a sparsely gated mixture of one-dimensional bases, each a candidate time embedding.

Source: the design documents of repositories MichaelScodaeng/kan-mammote and kan-mammotev2; noisy top-k gates and the
load-balancing loss after Shazeer et al. 2017, arXiv 1701.06538, and Fedus et al. 2021, arXiv 2101.03961, equation 4.
Differs from it: the numbers are those of `docs/models.md`; each expert is normalised before mixing, so that none
dominates by its scale, and the last layer of the router starts near zero, so that every expert is used at the start.

No router is built if its gates would be constant: with `router: uniform`, and with a single expert.

Letters: U distinct values, P rows (distinct pairs of time and gap), E experts, D width.
"""

import math
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from models.basis import FourierBasis, GaussianBasis, Wavelet, WaveletBasis
from models.kan import KANSpline

ExpertKind = Literal["fourier", "spline", "gaussian", "wavelet"]
EXPERT_KINDS: tuple[ExpertKind, ...] = get_args(ExpertKind)
Router = Literal["learned", "uniform"]
FUNCTIONS = 16
"""Number of sines, Gaussians or wavelets per output dimension of an expert."""
SPLINE_NOISE = 0.1
ROUTER_WIDTHS = (64, 32)
ROUTER_START = 1e-3
"""Standard deviation of the initial weights of the router's last layer."""


@dataclass(frozen=True)
class Gating:
    """The routing, averaged over events, for the loss and the log."""

    load: Tensor
    """(E,): share of the dispatches that each expert received; without gradient."""
    entropy: Tensor
    """Mean entropy of the gates of an event, in nats; without gradient."""
    balance: Tensor
    """Load-balancing loss E sum_e load_e * mean probability_e: 1 when uniform, E/K_top when K_top experts take all.
    0 without a router."""


class KMOTE(nn.Module):
    """LayerNorm of the gated sum of K_top of E normalised experts, or of their mean if there is no router."""

    def __init__(
        self,
        *,
        dim: int,
        experts: str,
        num_experts: int,
        k_top: int,
        router: Router,
        router_noise: float,
        grid_size: int,
        horizon: float,
        wavelet: Wavelet,
    ) -> None:
        """Build `num_experts` experts, whose kinds alternate as in `experts`, and a router if its gates can differ."""
        super().__init__()
        self.k_top = k_top
        self.router_noise = router_noise
        self.router = router_over(num_experts) if router == "learned" and num_experts > 1 else None
        kinds = kinds_of(experts)
        turns = list(islice(cycle(kinds), num_experts))
        self.experts = nn.ModuleList(
            expert_of(kind, dim=dim, grid_size=grid_size, horizon=horizon, wavelet=wavelet) for kind in turns
        )
        self.expert_names = [
            kind if turn < len(kinds) else f"{kind}_{turn // len(kinds) + 1}" for turn, kind in enumerate(turns)
        ]
        self.norm = nn.LayerNorm(dim)

    def expert_codes(self, values_U: Tensor) -> Tensor:
        """Return the experts' normalised codes (U, E, D) of values (U,)."""
        codes_UED = torch.stack([expert(values_U) for expert in self.experts], dim=1)
        return nn.functional.layer_norm(codes_UED, codes_UED.shape[-1:])

    def forward(
        self, values_U: Tensor, value_of_P: Tensor, context_P2: Tensor, events_P: Tensor
    ) -> tuple[Tensor, Gating]:
        """Return codes (P, D), one for each pair of a value and a router input, and the routing.

        `values_U` (U,) are the experts' inputs, `value_of_P` (P,) is the index of each pair's value, `context_P2` (P, 2) the router's
        input, and `events_P` (P,) the number of events that share the pair.
        """
        if self.router is None:
            mean_UD = self.norm(self.expert_codes(values_U).mean(dim=1))
            return nn.functional.embedding(value_of_P, mean_UD), even_gating(len(self.experts), mean_UD)
        logits_PE = self.router(context_P2)
        if self.training and self.router_noise:
            logits_PE = logits_PE + self.router_noise * torch.randn_like(logits_PE)
        gates_PE = top_gates(logits_PE, self.k_top)
        codes_UED = self.expert_codes(values_U)
        codes_PED = nn.functional.embedding(value_of_P, codes_UED.flatten(1)).view(-1, *codes_UED.shape[1:])
        codes_PD: Tensor = self.norm((gates_PE.unsqueeze(1) @ codes_PED).squeeze(1))
        return codes_PD, gating(logits_PE, gates_PE, events_P)

    def smoothness(self, grid_U: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean absolute difference and the mean squared second difference of the experts on neighbouring values (U,)."""
        steps = self.expert_codes(grid_U).diff(dim=0)
        return steps.abs().mean(), steps.diff(dim=0).square().mean()


def wave_frequencies(module: nn.Module) -> list[Tensor]:
    """Return the frequencies (D, K) of every Fourier expert in a module, in radians per unit of the expert's input."""
    return [part.frequencies for part in module.modules() if isinstance(part, FourierBasis)]


def kinds_of(experts: str) -> list[ExpertKind]:
    """Return the kinds in a text `a+b+c`; `ValueError` if a kind is unknown or repeated, or if there is none."""
    names = experts.split("+")
    kinds = [kind for name in names for kind in EXPERT_KINDS if kind == name]
    if len(kinds) < len(names) or len(set(kinds)) < len(kinds):
        raise ValueError(f"must be some of {', '.join(EXPERT_KINDS)}, each once and joined by +")
    return kinds


def router_over(num_experts: int) -> nn.Sequential:
    """Build the MLP from the router's input (P, 2) to logits (P, E); its initial gates are almost equal."""
    first, second = ROUTER_WIDTHS
    last = nn.Linear(second, num_experts)
    router = nn.Sequential(nn.Linear(2, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), last)
    nn.init.normal_(last.weight, std=ROUTER_START)
    nn.init.zeros_(last.bias)
    return router


def expert_of(kind: ExpertKind, *, dim: int, grid_size: int, horizon: float, wavelet: Wavelet) -> nn.Module:
    """Build one expert, a function of values (U,) -> (U, D); `grid_size` is for splines, `wavelet` for wavelets."""
    if kind == "fourier":
        return FourierBasis(dim=dim, functions=FUNCTIONS, horizon=horizon)
    if kind == "spline":
        return KANSpline(dim=dim, intervals=grid_size, noise_scale=SPLINE_NOISE)
    if kind == "gaussian":
        return GaussianBasis(dim=dim, functions=FUNCTIONS)
    return WaveletBasis(dim=dim, functions=FUNCTIONS, horizon=horizon, wavelet=wavelet)


def expert_input(values: Tensor, horizon: float, time_input: Literal["absolute", "gap"]) -> Tensor:
    """Return the experts' input (U,): u = 2t/T - 1 for times t, or s = 2 log(1 + dt)/log(1 + T) - 1 for gaps dt, in time units."""
    return 2 * (values.log1p() / math.log1p(horizon) if time_input == "gap" else values / horizon) - 1


def input_slope(horizon: float, time_input: Literal["absolute", "gap"]) -> float:
    """Return the slope of the experts' input per time unit: 2/T for times; 0 for gaps, for which the slope is not constant."""
    return 0.0 if time_input == "gap" else 2 / horizon


def top_gates(logits_PE: Tensor, k_top: int) -> Tensor:
    """Return gates (P, E): the softmax over the `k_top` largest logits of each row; the other gates are exactly zero."""
    if k_top == logits_PE.shape[-1]:
        return logits_PE.softmax(dim=-1)
    top = logits_PE.topk(k_top, dim=-1)
    return torch.zeros_like(logits_PE).scatter(-1, top.indices, top.values.softmax(dim=-1))


def gating(logits_PE: Tensor, gates_PE: Tensor, events_P: Tensor) -> Gating:
    """Return the routing of pairs with logits and gates (P, E), each weighted by its number of events (P,)."""
    share_P = (events_P / events_P.sum()).to(gates_PE.dtype)
    with torch.no_grad():
        used_PE = (gates_PE > 0).to(gates_PE.dtype)
        load_E = share_P @ (used_PE / used_PE.sum(dim=-1, keepdim=True))
        entropy = -(share_P @ torch.special.xlogy(gates_PE, gates_PE)).sum()
    balance = logits_PE.shape[-1] * (load_E * (share_P @ logits_PE.softmax(dim=-1))).sum()
    return Gating(load_E, entropy, balance)


def even_gating(num_experts: int, like: Tensor) -> Gating:
    """Return the routing of constant gates 1/E, in the dtype and on the device of `like`."""
    load_E = like.new_full((num_experts,), 1 / num_experts)
    return Gating(load_E, like.new_tensor(math.log(num_experts)), like.new_zeros(()))
