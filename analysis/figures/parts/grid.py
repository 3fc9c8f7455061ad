"""A grid of panels and their positions in a figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from plotly.graph_objects import Figure

from analysis.figures.parts.style import axis

FEW_PANELS = 4


@dataclass(frozen=True)
class Grid:
    """Panels of equal size, row by row from the top left; all numbers in pixels."""

    panels: int
    columns: int
    side: tuple[int, int]
    """Width and height of a panel."""
    gap: tuple[int, int]
    """Distance between two panels, across and down."""
    room: int = 0
    """Extra space to the right of every panel, for labels."""

    @property
    def width(self) -> int:
        """Width from the left edge of the first panel to the end of the last column."""
        return self.columns * self._step(0) - self.gap[0]

    @property
    def height(self) -> int:
        """Height from the top of the first panel to the bottom of the last row."""
        return ceil(self.panels / self.columns) * self._step(1) - self.gap[1]

    def _step(self, direction: int) -> int:
        return self.side[direction] + self.gap[direction] + (0 if direction else self.room)

    def at_bottom(self, panel: int) -> bool:
        """Return whether a panel, counted from 1, has no panel below it."""
        return panel > self.panels - self.columns

    def at_left(self, panel: int) -> bool:
        """Return whether a panel, counted from 1, has no panel to its left."""
        return (panel - 1) % self.columns == 0

    def place(self, figure: Figure, panel: int, x: Mapping[str, object], y: Mapping[str, object]) -> None:
        """Set the two axes of a panel, counted from 1: their position in the figure, and the settings `x` and `y`."""
        left, top = (panel - 1) % self.columns * self._step(0), (panel - 1) // self.columns * self._step(1)
        across = [left / self.width, (left + self.side[0]) / self.width]
        down = [max(0.0, 1 - (top + self.side[1]) / self.height), 1 - top / self.height]
        figure.update_layout(
            {
                f"xaxis{panel}": {"domain": across, "anchor": axis("y", panel), **x},
                f"yaxis{panel}": {"domain": down, "anchor": axis("x", panel), **y},
            }
        )


def squares(panels: int, side: int, gap: int) -> Grid:
    """Return a grid of square panels: up to two per row for at most four panels, else three per row."""
    return Grid(panels, min(panels, 2 if panels <= FEW_PANELS else 3), (side, side), (gap, gap))
