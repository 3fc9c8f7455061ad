"""Pruning: a trial is stopped if it is behind the others."""

from statistics import median

from optuna import Study
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

STARTUP_TRIALS = 5
"""Fewest finished trials whose median can stop another trial."""


class SameEpochMedian(BasePruner):
    """Stops a trial whose last value is below the median that complete trials had at the same step.

    Optuna's own median pruner takes a trial's best value of all steps, so that a good first seed would shield every
    later one. Values are to be maximised.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether to stop `trial`."""
        step = trial.last_step
        if step is None:
            return False
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        others = [one.intermediate_values[step] for one in complete if step in one.intermediate_values]
        return len(others) >= STARTUP_TRIALS and trial.intermediate_values[step] < median(others)
