"""Kolmogorov-Arnold layers: pykan's spline layer, and FasterKAN.

Source: Liu et al. 2024, arXiv 2404.19756 (pykan's `KANLayer`); FasterKAN, repository AthanasiosDelis/faster-kan
(reflectional switch activations 1 - tanh^2).
Differs from it: pykan's parameters are evaluated by `bspline_basis`, once per value instead of once per dimension. The
width h of FasterKAN's bumps is their distance; in the repository it is a constant (1/h = 0.5), independent of the distance.

Letters: U values, D output dimensions, G B-splines or bumps, K knots, P rows.
"""

import random
import warnings

import numpy as np
import torch
from torch import Tensor, nn

from models.basis import bspline_basis

SPLINE_DEGREE = 3


class KANSpline(nn.Module):
    """One spline plus one scaled SiLU per output dimension: a pykan `KANLayer` from R to R^D."""

    def __init__(self, *, dim: int, intervals: int, noise_scale: float) -> None:
        """Let pykan draw the parameters, for `intervals` grid intervals on [-1, 1]."""
        super().__init__()
        self.layer = _pykan_layer(dim, intervals, noise_scale)

    def forward(self, values: Tensor) -> Tensor:
        """Return (U, D) of values (U,)."""
        coef_DG, mask_D, scale_base_D, scale_sp_D, grid_K = (
            self.layer.get_parameter(name)[0] for name in ("coef", "mask", "scale_base", "scale_sp", "grid")
        )
        spline_UD = bspline_basis(values, grid_K, SPLINE_DEGREE) @ coef_DG.T
        return mask_D * (scale_sp_D * spline_UD + scale_base_D * nn.functional.silu(values)[:, None])


def _pykan_layer(dim: int, intervals: int, noise_scale: float) -> nn.Module:
    """Build pykan's layer; its import takes seconds, gives warnings, and must not change the state of random generators."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - the state of this generator is restored
    torch_state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kan.KANLayer import KANLayer  # noqa: PLC0415 - seconds to import, for one embedding only
    random.setstate(python_state)
    np.random.set_state(numpy_state)  # noqa: NPY002 - see above
    torch.set_rng_state(torch_state)
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in float32, its least squares differ in the last digits from call to call
    try:
        layer: nn.Module = KANLayer(in_dim=1, out_dim=dim, num=intervals, k=SPLINE_DEGREE, noise_scale=noise_scale)
    finally:
        torch.set_default_dtype(dtype)
    return layer.type(dtype)


class FasterKAN(nn.Module):
    """W vec(1 - tanh^2((LN(x) - c_g) / h)): one bump per input and grid point, h apart, mixed linearly."""

    centres: Tensor

    def __init__(self, *, dim: int, grid_size: int, grid_min: float, grid_max: float, spline_scale: float) -> None:
        """Place `grid_size` bumps on [grid_min, grid_max], and draw W with standard deviation spline_scale/sqrt(D G)."""
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.register_buffer("centres", torch.linspace(grid_min, grid_max, grid_size), persistent=False)
        self.sharpness = (grid_size - 1) / (grid_max - grid_min)
        self.mix = nn.Linear(dim * grid_size, dim, bias=False)
        nn.init.trunc_normal_(self.mix.weight, std=spline_scale * (dim * grid_size) ** -0.5)

    def forward(self, rows: Tensor) -> Tensor:
        """Return (P, D) of rows (P, D)."""
        bumps_PDG = 1 - ((self.norm(rows)[..., None] - self.centres) * self.sharpness).tanh().square()
        mixed_PD: Tensor = self.mix(bumps_PDG.flatten(1))
        return mixed_PD
