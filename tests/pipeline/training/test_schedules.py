import pytest
import torch

from pipeline.config import PlateauSchedule
from pipeline.training.choice import out_of_patience
from pipeline.training.schedules import plateau


@pytest.mark.parametrize(
    "losses", [[0.0] * 8, [1 / epoch for epoch in range(1, 9)]], ids=["one loss", "falling losses"]
)
@pytest.mark.parametrize("epochs", [1, 5])
def test_a_plateau_is_as_long_as_the_patience_of_the_same_number(epochs, losses):
    accuracies = [0.5, 0.5001, *[0.5001] * 6]  # the second epoch is better, by little
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    settings = PlateauSchedule(name="plateau", plateau_epochs=epochs)
    schedule, history = plateau(optimizer, settings, len(accuracies)), []
    for epoch, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True), start=1):
        optimizer.step()
        schedule.step(accuracy)
        history.append({"epoch": epoch, "validation/accuracy": accuracy, "validation/loss": loss})
        reduced = optimizer.param_groups[0]["lr"] < 1
        assert reduced == out_of_patience(history, epochs) == (epoch >= 2 + epochs)
        if reduced:
            break
    assert settings.changes(2 + epochs)  # the epoch after the reduction, had no epoch but the first been best
    assert not settings.changes(1 + epochs)
