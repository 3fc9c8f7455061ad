"""KAN-MAMMOTE: a mixture of time experts whose changes set the step sizes of a Mamba block.

Source: the design documents of repositories MichaelScodaeng/kan-mammote and kan-mammotev2, which give no numbers.
Differs from it: the numbers are those of `docs/models.md`; time keeps its magnitude, all parts are trained, every
regulariser is computed, CPU and CUDA compute the same function, and a value that is not finite raises an error.

- Mixture, FasterKAN and the first projections depend only on the time and the gap of an event, so they are computed once on
  the distinct pairs of a batch; noise on the router is drawn per pair.

Scaling: that of K-MOTE, see `models/time_embeddings/kmote.py`.

Letters: B sequences, L events (padded), N real events, concatenated, U distinct times, P distinct (time, gap) pairs,
D width of the code, M width of the Mamba block, I its inner width, E experts, T horizon.
"""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from models.kan import FasterKAN
from models.kmote import Gating
from models.selective_scan import Drive, MambaBlock, Ragged
from models.time_embeddings.kmote import DistinctPairs, KMOTEEmbedding, KMOTEFields, mixture_of

DeltaMode = Literal["kan_diff", "diff_kan", "kmote_rel", "none"]
FASTER_KAN = ("kan_diff", "diff_kan")
"""Drives that FasterKAN computes."""


class KANMAMMOTEConfig(KMOTEFields):
    """Mixture of Fourier, spline, Gaussian and wavelet experts with a continuous-time Mamba block (KAN-MAMMOTE).

    Formula: LN(e_k + W h_k), e = K-MOTE(u, s), h = Mamba(e, step sizes driven by FasterKAN(e_k) - FasterKAN(e_k-1))
    Represents: functions of time, and what earlier events and the gaps between them leave behind.
    """

    name: Literal["kan_mammote"] = "kan_mammote"
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
    num_mamba_layers: int = Field(1, ge=0, le=1000)
    """Stacked Mamba blocks; 0 leaves Mamba and the drive out, and the code is the mixture's."""
    hidden_dim_mamba: int = Field(32, ge=1, le=65_536)
    """Width M of the Mamba blocks."""
    state_dim_mamba: int = Field(8, ge=1, le=65_536)
    """Width of the state of one channel of a Mamba block."""

    @model_validator(mode="after")
    def _has_a_grid(self) -> Self:
        if self.kan_grid_max <= self.kan_grid_min:
            raise ValueError(f"kan_grid_max: must be above kan_grid_min ({self.kan_grid_min}), got {self.kan_grid_max}")
        return self

    @property
    def drive(self) -> DeltaMode:
        """The effective drive of the step size: `none` without Mamba blocks or with weight 0."""
        return self.delta_mode if self.gamma and self.num_mamba_layers else "none"

    def idle(self) -> set[str]:
        """Leave out settings of the drive without a drive, FasterKAN's grid without FasterKAN, and widths without Mamba."""
        idle = super().idle()
        if self.drive in FASTER_KAN:
            idle -= {"kan_grid_size"}
        else:
            idle |= {"kan_grid_min", "kan_grid_max", "kan_spline_scale"}
        idle |= {"delta_mode", "gamma"} if self.drive == "none" else set()
        return idle | ({"hidden_dim_mamba", "state_dim_mamba"} if not self.num_mamba_layers else set())

    def build(self, *, horizon: float) -> "KANMAMMOTE":
        """Build the module for times below `horizon`."""
        return KANMAMMOTE(config=self, horizon=horizon)


class KANMAMMOTE(KMOTEEmbedding):
    """emb_k = LN(e_k + W_o h_k): mixture of experts e, and h from Mamba blocks over e driven by its changes."""

    def __init__(self, *, config: KANMAMMOTEConfig, horizon: float) -> None:
        """Build the parts that `config` describes; without Mamba blocks or with gamma 0 there is no drive."""
        super().__init__(config=config, horizon=horizon)
        self.config: KANMAMMOTEConfig = config
        drive = config.drive
        self.faster_kan = _faster_kan(config) if drive in FASTER_KAN else None
        self.kmote_rel = mixture_of(config, horizon) if drive == "kmote_rel" else None
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

    def _remember(
        self,
        mixture_PD: Tensor,
        context_P2: Tensor,
        pairs: DistinctPairs,
        gatings: dict[str, Gating],
        events: Ragged,
    ) -> tuple[Tensor, Tensor, bool]:
        """Return codes (R, D), the row of each event (N,), and whether events share rows.

        The code of an event is the mixture of its pair, plus the output of the Mamba blocks over the events so far.
        """
        pair_of_N = pairs.pair_of_event
        if self.enter is None or self.leave is None or self.norm is None:
            return mixture_PD, pair_of_N, True
        mixture_ND = nn.functional.embedding(pair_of_N, mixture_PD)
        relative_PD: Tensor | None = None
        if self.kmote_rel is not None:
            s_G = self._scaled(pairs.gaps, "gap")
            relative_PD, gatings["gap_gate"] = self.kmote_rel(s_G, pairs.gap_of_pair, context_P2, pairs.event_counts)
        drive = self._drive(mixture_PD, mixture_ND, relative_PD, pair_of_N, events)
        hidden_RM, index_N = self.enter(mixture_PD), pair_of_N
        for block in self.blocks:
            hidden_RM = nn.functional.embedding(index_N, hidden_RM) + block(hidden_RM, index_N, drive, events)
            index_N = torch.arange(len(index_N), device=index_N.device)
        return self.norm(mixture_ND + self.leave(hidden_RM)), index_N, False

    def _drive(
        self, mixture_PD: Tensor, mixture_ND: Tensor, relative_PD: Tensor | None, pair_of_N: Tensor, events: Ragged
    ) -> Drive | None:
        """Return delta, the drive of the step sizes; a change is zero at the first event of a sequence. None without a drive."""
        gamma = self.config.gamma
        if relative_PD is not None:
            return Drive(relative_PD, pair_of_N, gamma, as_change=False)
        if self.faster_kan is None:
            return None
        if self.config.delta_mode == "kan_diff":
            return Drive(self.faster_kan(mixture_PD), pair_of_N, gamma, as_change=True)
        delta_ND = self.faster_kan(events.change(mixture_ND)) * (events.columns > 0).unsqueeze(1)
        return Drive(delta_ND, torch.arange(len(delta_ND), device=delta_ND.device), gamma, as_change=False)


def _faster_kan(config: KANMAMMOTEConfig) -> FasterKAN:
    return FasterKAN(
        dim=config.dim,
        grid_size=config.kan_grid_size,
        grid_min=config.kan_grid_min,
        grid_max=config.kan_grid_max,
        spline_scale=config.kan_spline_scale,
    )
