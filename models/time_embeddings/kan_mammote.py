"""KAN-MAMMOTE: a mixture of time experts whose changes set the step sizes of a Mamba block.

Source: the design documents of repositories MichaelScodaeng/kan-mammote and kan-mammotev2, which give no numbers.
Differs from it: the numbers are those of `docs/models.md`; time keeps its magnitude, everything is trained, every
regulariser is computed, CPU and CUDA compute the same function, and a value that is not finite raises.

- Mixture, FasterKAN and the first projections depend on the time and the gap of an event alone, so they run once on
  the distinct pairs of a batch; noise on the router is drawn per pair.

Letters: B sequences, L events (padded), N real events end to end, U distinct times, P distinct (time, gap) pairs,
D width of the code, M width of the Mamba block, I its inner width, E experts, T horizon.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from models.basis import Wavelet
from models.kan import FasterKAN
from models.kmote import KMOTE, Gating
from models.selective_scan import Drive, MambaBlock, Ragged
from models.time_embeddings.base import TimeEmbedding, TimeEmbeddingConfig

DeltaMode = Literal["kan_diff", "diff_kan", "kmote_rel", "none"]


class KANMAMMOTEConfig(TimeEmbeddingConfig):
    """Mixture of Fourier, spline, Gaussian and wavelet experts with a continuous-time Mamba block (KAN-MAMMOTE)."""

    name: Literal["kan_mammote"] = "kan_mammote"
    dim: int = Field(32, ge=2)
    """Width D of the code of one event; at least 2, because a LayerNorm over one number is constant."""
    num_experts: int = Field(4, ge=1)
    """Number E of experts: Fourier, spline, Gaussian and wavelet, in turn."""
    k_top: int = Field(2, ge=1)
    """Experts that are mixed for one event; at most `num_experts`, which mixes all."""
    router_noise: float = Field(1e-2, ge=0)
    """Standard deviation of the noise on the router's logits in training."""
    wavelet: Wavelet = "mexican_hat"
    """Mother wavelet of the wavelet experts: `mexican_hat` or `morlet`."""
    kan_grid_size: int = Field(5, ge=2)
    """Grid intervals of the spline experts and bumps of FasterKAN."""
    kan_grid_min: float = -2.0
    """Place of the first bump of FasterKAN."""
    kan_grid_max: float = 2.0
    """Place of the last bump of FasterKAN; above `kan_grid_min`."""
    kan_spline_scale: float = Field(0.5, gt=0)
    """Scale of FasterKAN's first weights, before the division by sqrt(D grid)."""
    delta_mode: DeltaMode = "kan_diff"
    """What drives the step size: `kan_diff` the change of FasterKAN's output since the last event, `diff_kan` FasterKAN of
    the change, `kmote_rel` a second mixture of experts on the gap, `none` nothing."""
    gamma: float = Field(0.3, ge=0)
    """Weight of that drive; 0 is `delta_mode` none."""
    num_mamba_layers: int = Field(1, ge=0)
    """Stacked Mamba blocks; 0 leaves Mamba and the drive out, and the code is the mixture's."""
    hidden_dim_mamba: int = Field(32, ge=1)
    """Width M of the Mamba blocks."""
    state_dim_mamba: int = Field(8, ge=1)
    """Width of the state of one channel of a Mamba block."""
    load_balance: float = Field(0.01, ge=0)
    """Weight of the load-balancing loss of the router."""
    lambda_sobolev: float = Field(0.0, ge=0)
    """Weight lambda_s of the mean squared second difference of the experts between neighbouring time steps."""
    lambda_total_variation: float = Field(0.0, ge=0)
    """Weight lambda_tv of the mean absolute difference of the experts between neighbouring time steps."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.k_top > self.num_experts:
            raise ValueError(f"k_top: must be at most num_experts ({self.num_experts}), got {self.k_top}")
        if self.kan_grid_max <= self.kan_grid_min:
            raise ValueError(f"kan_grid_max: must be above kan_grid_min ({self.kan_grid_min}), got {self.kan_grid_max}")
        return self

    def build(self, *, horizon: float) -> "KANMAMMOTE":
        """Build the module for times below `horizon`."""
        return KANMAMMOTE(config=self, horizon=horizon)


@dataclass(frozen=True)
class DistinctPairs:
    """The distinct times, gaps and (time, gap) pairs of N events, and where each event finds its own."""

    times: Tensor
    """(U,)"""
    gaps: Tensor
    """(G,)"""
    time_of_pair: Tensor
    """(P,) indices into `times`."""
    gap_of_pair: Tensor
    """(P,) indices into `gaps`."""
    pair_of_event: Tensor
    """(N,) indices into the pairs."""
    event_counts: Tensor
    """(P,) how many events share a pair."""

    @classmethod
    def of(cls, times_N: Tensor, gaps_N: Tensor) -> Self:
        """Find the distinct pairs by their rank in the table of all pairs."""
        times_U, time_of_N = torch.unique(times_N, return_inverse=True)
        gaps_G, gap_of_N = torch.unique(gaps_N, return_inverse=True)
        rank_P, pair_of_N, events_P = torch.unique(
            time_of_N * len(gaps_G) + gap_of_N, return_inverse=True, return_counts=True
        )
        return cls(times_U, gaps_G, rank_P // len(gaps_G), rank_P % len(gaps_G), pair_of_N, events_P)


class KANMAMMOTE(TimeEmbedding):
    """emb_k = LN(e_k + W_o h_k): mixture of experts e, and h from Mamba blocks over e driven by its changes."""

    def __init__(self, *, config: KANMAMMOTEConfig, horizon: float) -> None:
        """Build the parts that `config` names; without Mamba there is no drive, and without gamma neither."""
        super().__init__(config.dim)
        self.config, self.horizon = config, horizon
        self.kmote = _mixture(config, horizon)
        drive = config.delta_mode if config.gamma and config.num_mamba_layers else "none"
        self.faster_kan = _faster_kan(config) if drive in {"kan_diff", "diff_kan"} else None
        self.kmote_rel = _mixture(config, horizon) if drive == "kmote_rel" else None
        self.blocks = nn.ModuleList(
            MambaBlock(
                dim=config.hidden_dim_mamba,
                state_dim=config.state_dim_mamba,
                drive_dim=None if drive == "none" else config.dim,
            )
            for _ in range(config.num_mamba_layers)
        )
        self.enter = nn.Linear(config.dim, config.hidden_dim_mamba) if self.blocks else None
        self.leave = nn.Linear(config.hidden_dim_mamba, config.dim) if self.blocks else None
        self.norm = nn.LayerNorm(config.dim) if self.blocks else None
        self._penalty: Tensor | None = None
        self._gatings: dict[str, Gating] = {}

    def embed(self, times: Tensor, lengths: Tensor) -> Tensor:
        """Return codes (B, L, D) of ascending times (B, L)."""
        events = Ragged.of(lengths.to(times.device))
        if self.training:
            self._penalty = None
        if len(events.rows) == 0:
            return torch.zeros(*times.shape, self.dim, device=times.device, dtype=self.kmote.norm.weight.dtype)
        gaps = times.diff(dim=1, prepend=times[:, :1])
        pairs = DistinctPairs.of(events.flatten(times), events.flatten(gaps))
        u_U, s_G = self._scaled(pairs.times), self._scaled_gaps(pairs.gaps)
        context_P2 = torch.stack([u_U[pairs.time_of_pair], s_G[pairs.gap_of_pair]], dim=-1)
        mixture_PD, gating = self.kmote(u_U, pairs.time_of_pair, context_P2, pairs.event_counts)
        gatings = {"gate": gating}
        relative_PD: Tensor | None = None
        if self.kmote_rel is not None:
            relative_PD, gatings["gap_gate"] = self.kmote_rel(s_G, pairs.gap_of_pair, context_P2, pairs.event_counts)
        codes_ND = self._remember(mixture_PD, relative_PD, pairs.pair_of_event, events)
        if not codes_ND.isfinite().all():
            part = "the Mamba blocks" if mixture_PD.isfinite().all() else "the mixture of experts (kmote)"
            raise FloatingPointError(
                f"model.embedding kan_mammote: codes must be finite, got NaN or infinity from {part}. "
                "Lower train.learning_rate, clip the gradients, or check that event times ascend."
            )
        if self.training:
            self._penalty = self._regularise(gatings)
            self._gatings = {name: replace(gating, balance=gating.balance.detach()) for name, gating in gatings.items()}
        index_BL = events.starts[:-1, None] + torch.arange(times.shape[1], device=times.device)
        return nn.functional.embedding(index_BL.clamp_max(len(codes_ND) - 1), codes_ND)

    def _scaled(self, times_U: Tensor) -> Tensor:
        """Return u: 2t/T - 1, or as `time_scale` says."""
        times_U = times_U.to(self.kmote.norm.weight.dtype)
        if self.config.time_scale == "raw":
            return times_U
        return times_U / self.horizon if self.config.time_scale == "unit" else 2 * times_U / self.horizon - 1

    def _scaled_gaps(self, gaps_G: Tensor) -> Tensor:
        """Return s: 2 log(1 + dt)/log(1 + T) - 1, or as `time_scale` says."""
        gaps_G = gaps_G.to(self.kmote.norm.weight.dtype)
        if self.config.time_scale == "auto":
            return 2 * gaps_G.log1p() / math.log1p(self.horizon) - 1
        return gaps_G / self.horizon if self.config.time_scale == "unit" else gaps_G

    def _remember(self, mixture_PD: Tensor, relative_PD: Tensor | None, pair_of_N: Tensor, events: Ragged) -> Tensor:
        """Return codes (N, D): the mixture of each event's pair, plus what the Mamba blocks made of the past."""
        mixture_ND = nn.functional.embedding(pair_of_N, mixture_PD)
        if self.enter is None or self.leave is None or self.norm is None:
            return mixture_ND
        drive = self._drive(mixture_PD, mixture_ND, relative_PD, pair_of_N, events)
        hidden_RM, index_N = self.enter(mixture_PD), pair_of_N
        for block in self.blocks:
            hidden_RM = nn.functional.embedding(index_N, hidden_RM) + block(hidden_RM, index_N, drive, events)
            index_N = torch.arange(len(index_N), device=index_N.device)
        codes_ND: Tensor = self.norm(mixture_ND + self.leave(hidden_RM))
        return codes_ND

    def _drive(
        self, mixture_PD: Tensor, mixture_ND: Tensor, relative_PD: Tensor | None, pair_of_N: Tensor, events: Ragged
    ) -> Drive | None:
        """Return delta, what drives the step sizes: zero at the first event of a sequence if it is a change."""
        gamma = self.config.gamma
        if relative_PD is not None:
            return Drive(relative_PD, pair_of_N, gamma, as_change=False)
        if self.faster_kan is None:
            return None
        if self.config.delta_mode == "kan_diff":
            return Drive(self.faster_kan(mixture_PD), pair_of_N, gamma, as_change=True)
        delta_ND = self.faster_kan(events.change(mixture_ND)) * (events.columns > 0).unsqueeze(1)
        return Drive(delta_ND, torch.arange(len(delta_ND), device=delta_ND.device), gamma, as_change=False)

    def _regularise(self, gatings: dict[str, Gating]) -> Tensor:
        """Return load_balance L_lb + lambda_s L_sob + lambda_tv L_tv, the latter two on the grid 0..T-1."""
        config = self.config
        loss = config.load_balance * torch.stack([gating.balance for gating in gatings.values()]).sum()
        if config.lambda_sobolev or config.lambda_total_variation:
            variation, sobolev = self.kmote.smoothness(
                self._scaled(torch.arange(int(self.horizon), device=loss.device))
            )
            loss = loss + config.lambda_sobolev * sobolev + config.lambda_total_variation * variation
        return loss

    def penalty(self) -> Tensor | None:
        """Return the weighted regularisers of the last training forward, or None before the first and without events."""
        return self._penalty

    def diagnostics(self) -> dict[str, float]:
        """Return the load of each expert and the entropy of the gates (nats) in the last training forward."""
        scalars: dict[str, float] = {}
        for name, gating in self._gatings.items():
            loads = zip(self.kmote.expert_names, gating.load.tolist(), strict=True)
            scalars |= {f"{name}_load_{expert}": load for expert, load in loads}
            scalars[f"{name}_entropy"] = gating.entropy.item()
        return scalars

    def __getstate__(self) -> dict[str, object]:
        """Leave out the penalty: a tensor with a graph can be neither copied nor pickled."""
        return {**self.__dict__, "_penalty": None}


def _mixture(config: KANMAMMOTEConfig, horizon: float) -> KMOTE:
    return KMOTE(
        dim=config.dim,
        num_experts=config.num_experts,
        k_top=config.k_top,
        router_noise=config.router_noise,
        grid_size=config.kan_grid_size,
        horizon=horizon,
        wavelet=config.wavelet,
    )


def _faster_kan(config: KANMAMMOTEConfig) -> FasterKAN:
    return FasterKAN(
        dim=config.dim,
        grid_size=config.kan_grid_size,
        grid_min=config.kan_grid_min,
        grid_max=config.kan_grid_max,
        spline_scale=config.kan_spline_scale,
    )
