"""The choice of the epoch whose results count, and early stopping."""

History = list[dict[str, float]]
"""The metrics of each epoch, with its number as `epoch`."""


def best_epoch(history: History) -> int:
    """Return the number of the epoch with the highest validation accuracy; without a validation split, the last epoch.

    Ties are broken by the lower validation loss, then by the earlier epoch.
    """
    if "validation/accuracy" not in history[-1]:
        return int(history[-1]["epoch"])
    best = max(history, key=lambda row: (row["validation/accuracy"], -row["validation/loss"], -row["epoch"]))
    return int(best["epoch"])


def out_of_patience(history: History, patience: int) -> bool:
    """Say whether the last `patience` epochs brought no better validation accuracy; never when patience is 0."""
    return bool(patience and history) and history[-1]["epoch"] - best_epoch(without_losses(history)) >= patience


def without_losses(history: History) -> History:
    """Return the history with one loss in all epochs, so that the first of equally accurate epochs is the best."""
    return [{**row, "validation/loss": 0.0} for row in history]
