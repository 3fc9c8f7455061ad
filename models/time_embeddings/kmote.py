"""K-MOTE without Mamba: a mixture of time experts, of the time or of the gap.

Source: the design documents of repositories MichaelScodaeng/kan-mammote and kan-mammotev2, which give no numbers.
Differs from it: the numbers are those of `docs/models.md`; time keeps its magnitude, all parts are trained, and a value
that is not finite raises an error.

- The mixture depends only on the time and the gap of an event, so it is computed once on the distinct pairs of a batch; noise
  on the router is drawn per pair.
- On dt, the experts and both inputs of the router receive s, so the absolute time is not used.

Scaling: u = 2t/T - 1 and s = 2 log(1 + dt)/log(1 + T) - 1; `raw` and `unit` replace both.

Letters: B sequences, L events (padded), N real events, concatenated, U distinct times, G distinct gaps, P distinct (time, gap)
pairs, D width of the code, E experts, T horizon.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from models.basis import Wavelet
from models.config import ModelError
from models.kmote import EXPERT_KINDS, KMOTE, Gating, Router, expert_input, input_slope, kinds_of, wave_frequencies
from models.selective_scan import Ragged
from models.time_embeddings.base import (
    Codes,
    TimeEmbedding,
    TimeEmbeddingConfig,
    TimeInput,
    check_ascent,
    valid_events,
)

FEWEST_STEPS = 3
"""Number of time steps that a second difference needs."""


class KMOTEFields(TimeEmbeddingConfig):
    """Fields of the mixture of experts under each of its names."""

    name: str
    dim: int = Field(32, ge=2, le=65_536)
    """Width D of the code of one event; at least 2, because a LayerNorm over one number is constant."""
    time_input: TimeInput = "absolute"
    """What the experts encode: `absolute` the time t, `gap` the time dt since the event before, which the router sees alone
    then, too."""
    experts: str = "+".join(EXPERT_KINDS)
    """Kinds of experts that are built in turn, joined by +: any of fourier, spline, gaussian and wavelet, each once."""
    num_experts: int = Field(4, ge=1, le=1000)
    """Number E of experts, of the kinds of `experts` in turn; one expert has no router."""
    k_top: int = Field(2, ge=1)
    """Experts that the learned router mixes for one event; at most `num_experts`, which mixes all."""
    router: Router = "learned"
    """Where the gates come from: `learned` from the time and the gap, `uniform` 1/E for every expert, without a router."""
    router_noise: float = Field(1e-2, ge=0)
    """Standard deviation of the noise on the router's logits in training."""
    wavelet: Wavelet = "mexican_hat"
    """Mother wavelet of the wavelet experts: `mexican_hat` or `morlet`."""
    kan_grid_size: int = Field(5, ge=2, le=1000)
    """Grid intervals of the spline experts and bumps of FasterKAN."""
    load_balance: float = Field(0.01, ge=0)
    """Weight of the load-balancing loss of the router."""
    lambda_sobolev: float = Field(0.0, ge=0)
    """Weight lambda_s of the mean squared second difference of the experts between neighbouring time steps."""
    lambda_total_variation: float = Field(0.0, ge=0)
    """Weight lambda_tv of the mean absolute difference of the experts between neighbouring time steps."""

    @field_validator("experts")
    @classmethod
    def _name_kinds(cls, experts: str) -> str:
        kinds_of(experts)
        return experts

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.k_top > self.num_experts:
            raise ValueError(f"k_top: must be at most num_experts ({self.num_experts}), got {self.k_top}")
        if self.router == "learned" and self.k_top == 1 < self.num_experts and not self.load_balance:
            raise ValueError(
                "load_balance: must be above 0 with k_top 1, whose gate is 1 whatever the router says, got 0; "
                "nothing else trains the router"
            )
        return self

    def idle(self) -> set[str]:
        """Leave out the settings of the router if there is none, and those of experts that are not built."""
        built = set(kinds_of(self.experts)[: self.num_experts])
        idle = {"k_top", "router_noise", "load_balance"} if self.router == "uniform" or self.num_experts == 1 else set()
        idle |= {"router"} if self.num_experts == 1 else set()
        return idle | ({"wavelet"} - built) | ({"kan_grid_size"} if "spline" not in built else set())

    def effective(self) -> dict[str, Any]:
        """Return the settings that can change a number; `experts` has only the kinds that are built."""
        return {**super().effective(), "experts": "+".join(kinds_of(self.experts)[: self.num_experts])}

    def build(self, *, horizon: float) -> "KMOTEEmbedding":
        """Build the module for times below `horizon`."""
        return KMOTEEmbedding(config=self, horizon=horizon)


class KMOTEConfig(KMOTEFields):
    """Mixture of Fourier, spline, Gaussian and wavelet experts of the time, without Mamba (K-MOTE).

    Formula: LN(sum_e g_e(u, s) LN(phi_e(u))), the k_top largest gates g
    Represents: waves, bumps and steps of time, chosen by time and gap.
    """

    name: Literal["kmote"] = "kmote"


class KMOTEGapConfig(KMOTEFields):
    """K-MOTE on dt.

    Formula: LN(sum_e g_e(s) LN(phi_e(s))), the k_top largest gates g
    Represents: waves, bumps and steps of the logarithm of the gap; no absolute time.
    """

    name: Literal["kmote_gap"] = "kmote_gap"
    time_input: Literal["gap"] = "gap"
    """The gap is what this name stands for."""


@dataclass(frozen=True)
class DistinctPairs:
    """The distinct times, gaps and (time, gap) pairs of N events, and the pair of each event."""

    times: Tensor
    """(U,): distinct times, in time units."""
    gaps: Tensor
    """(G,): distinct gaps, in time units."""
    time_of_pair: Tensor
    """(P,): indices into `times`."""
    gap_of_pair: Tensor
    """(P,): indices into `gaps`."""
    pair_of_event: Tensor
    """(N,): indices into the pairs."""
    event_counts: Tensor
    """(P,): number of events that share a pair."""

    @classmethod
    def of(cls, times_N: Tensor, gaps_N: Tensor) -> Self:
        """Return the distinct pairs of times (N,) and gaps (N,), found by their rank in the table of all pairs."""
        times_U, time_of_N = torch.unique(times_N, return_inverse=True)
        gaps_G, gap_of_N = torch.unique(gaps_N, return_inverse=True)
        rank_P, pair_of_N, events_P = torch.unique(
            time_of_N * len(gaps_G) + gap_of_N, return_inverse=True, return_counts=True
        )
        return cls(times_U, gaps_G, rank_P // len(gaps_G), rank_P % len(gaps_G), pair_of_N, events_P)


class KMOTEEmbedding(TimeEmbedding):
    """e_k: the mixture of the experts' codes for the time or gap of each event."""

    def __init__(self, *, config: KMOTEFields, horizon: float) -> None:
        """Build the router and the experts."""
        super().__init__(config.dim)
        if (config.lambda_sobolev or config.lambda_total_variation) and horizon <= FEWEST_STEPS - 1:
            raise ModelError(
                f"model.embedding: lambda_sobolev and lambda_total_variation need {FEWEST_STEPS} whole time steps below the "
                f"horizon, got a horizon of {horizon:g}. Set both to 0, or give times in a smaller unit."
            )
        self.config, self.horizon = config, horizon
        self.time_input = config.time_input
        self.kmote = mixture_of(config, horizon)
        self._penalty: Tensor | None = None
        self._gatings: dict[str, Gating] = {}

    def embed(self, times: Tensor, lengths: Tensor) -> Codes:
        """Return the codes of ascending times (B, L); `ModelError` for a negative gap, FloatingPointError for a code that is not finite."""
        events = Ragged.of(lengths.to(times.device))
        if self.training:
            self._penalty = None
        if len(events.rows) == 0:
            return Codes.of_events(times.new_zeros(0, self.dim), valid_events(times, lengths))
        gaps = times.diff(dim=1, prepend=times[:, :1])
        pairs = DistinctPairs.of(events.flatten(gaps if self.time_input == "gap" else times), events.flatten(gaps))
        check_ascent(pairs.gaps)
        values_U, s_G = self._scaled(pairs.times, self.time_input), self._scaled(pairs.gaps, "gap")
        context_P2 = torch.stack([values_U[pairs.time_of_pair], s_G[pairs.gap_of_pair]], dim=-1)
        mixture_PD, gating = self.kmote(values_U, pairs.time_of_pair, context_P2, pairs.event_counts)
        gatings = {"gate": gating}
        rows_RD, row_of_N, shared = self._remember(mixture_PD, context_P2, pairs, gatings, events)
        if not rows_RD.isfinite().all():
            part = "the Mamba blocks" if mixture_PD.isfinite().all() else "the mixture of experts (kmote)"
            raise FloatingPointError(
                f"model.embedding {self.config.name}: codes must be finite, got NaN or infinity from {part}. "
                "Lower train.learning_rate or clip the gradients."
            )
        if self.training:
            self._penalty = self._regularise(gatings)
            self._gatings = {name: replace(gating, balance=gating.balance.detach()) for name, gating in gatings.items()}
        return Codes(rows_RD, row_of_N[events.places(times.shape[1])], shared)

    def _remember(
        self,
        mixture_PD: Tensor,
        context_P2: Tensor,
        pairs: DistinctPairs,
        gatings: dict[str, Gating],
        events: Ragged,
    ) -> tuple[Tensor, Tensor, bool]:
        """Return codes (R, D), the row of each event (N,), and whether events share rows; here, the mixture of each pair."""
        del context_P2, gatings, events
        return mixture_PD, pairs.pair_of_event, True

    def _scaled(self, values_U: Tensor, time_input: TimeInput) -> Tensor:
        """Return u of times or s of gaps (U,), or the values as `time_scale` scales them."""
        if self.config.time_scale == "auto":
            return expert_input(values_U, self.horizon, time_input)
        return values_U / self.horizon if self.config.time_scale == "unit" else values_U

    def _regularise(self, gatings: dict[str, Gating]) -> Tensor:
        """Return load_balance L_lb + lambda_s L_sob + lambda_tv L_tv, a scalar; the last two are computed on the grid 0..T-1."""
        config = self.config
        loss = config.load_balance * torch.stack([gating.balance for gating in gatings.values()]).sum()
        if config.lambda_sobolev or config.lambda_total_variation:
            grid_U = self._scaled(torch.arange(math.ceil(self.horizon)).to(loss), self.time_input)
            variation, sobolev = self.kmote.smoothness(grid_U)
            loss = loss + config.lambda_sobolev * sobolev + config.lambda_total_variation * variation
        return loss

    def raw_frequencies(self) -> list[Tensor]:
        """Return the frequencies of the Fourier experts if they receive raw times."""
        return wave_frequencies(self) if self.config.time_scale == "raw" else []

    def angular_frequencies(self) -> Tensor:
        """Return the frequencies of the Fourier experts; empty for logarithms of gaps, in which waves have no constant period."""
        mapped = input_slope(self.horizon, self.time_input)
        slope = {"auto": mapped, "raw": 1.0, "unit": 1 / self.horizon}[self.config.time_scale]
        held = [slope * own.detach().flatten() for own in wave_frequencies(self.kmote) if slope]
        return torch.cat([super().angular_frequencies(), *held])

    def penalty(self) -> Tensor | None:
        """Return the weighted regularisers of the last forward pass in training; None before the first, or if it had no events."""
        return self._penalty

    def diagnostics(self) -> dict[str, float]:
        """Return the load of each expert and the entropy of the gates (nats) in the last forward pass in training."""
        scalars: dict[str, float] = {}
        for name, gating in self._gatings.items():
            loads = zip(self.kmote.expert_names, gating.load.tolist(), strict=True)
            scalars |= {f"{name}_load_{expert}": load for expert, load in loads}
            scalars[f"{name}_entropy"] = gating.entropy.item()
        return scalars

    def __getstate__(self) -> dict[str, object]:
        """Leave out the penalty, because a tensor with a graph can neither be copied nor pickled."""
        return {**self.__dict__, "_penalty": None}


def mixture_of(config: KMOTEFields, horizon: float) -> KMOTE:
    """Build the mixture of experts that `config` describes."""
    return KMOTE(
        dim=config.dim,
        experts=config.experts,
        num_experts=config.num_experts,
        k_top=config.k_top,
        router=config.router,
        router_noise=config.router_noise,
        grid_size=config.kan_grid_size,
        horizon=horizon,
        wavelet=config.wavelet,
    )
