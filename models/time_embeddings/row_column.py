"""The sum of a learnable table of rows and one of columns: the oracle prior for images that are read row by row.

Source: two-dimensional learned position embeddings as in Dosovitskiy et al. 2021, arXiv 2010.11929, appendix D.4.
Differs from it: both tables have the full width and are added; there, each fills half of the columns.

Scaling: none; t // width and t % width are the numbers of rows and columns.
"""

import math
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding
from models.time_embeddings.position import whole_numbers


class RowColumnConfig(PointwiseConfig):
    """Sum of a table of image rows and one of image columns, N(0, 1): knows that time is a place in an image.

    Formula: W[t // width] + V[t % width]
    Represents: any sum of a function of the row and one of the column.
    """

    name: Literal["row_column"] = "row_column"
    time_scale: Literal["auto", "raw"] = "auto"
    """Both mean the pixel number: a table has no row between two rows, so it cannot be fed t/T."""
    width: int = Field(28, ge=1)
    """Pixels in a row of the image."""

    def encoder(self, *, horizon: float) -> "RowColumn":
        """Build tables for pixels below `horizon`."""
        return RowColumn(dim=self.dim, width=self.width, horizon=math.ceil(horizon))


class RowColumn(PointwiseEmbedding):
    """W[t // width] + V[t % width]."""

    def __init__(self, *, dim: int, width: int, horizon: int) -> None:
        """Allocate a row of W for each image row, of which the last may be incomplete, and a row of V for each image column."""
        super().__init__(dim)
        self.width, self.horizon = width, horizon
        self.rows = nn.Embedding(math.ceil(horizon / width), dim)
        self.columns = nn.Embedding(width, dim)

    def check(self, times: Tensor, gaps: Tensor) -> None:
        """Raise `ModelError` unless the looked-up times or gaps (N,) are whole numbers in [0, T)."""
        whole_numbers(gaps if self.time_input == "gap" else times, self.horizon)

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,), which must be whole numbers in [0, T); ModelError otherwise."""
        pixels_U = whole_numbers(times, self.horizon)
        codes_UD: Tensor = self.rows(pixels_U // self.width) + self.columns(pixels_U % self.width)
        return codes_UD
