"""A storage of Optuna that reads only the requested trials and writes many at once, where Optuna would load every trial.

Optuna's models of the tables are private; its version is therefore pinned, and it refuses a database of another schema.
"""

import copy
import json
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sql
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage, _CachedStorage
from optuna.storages._rdb.models import TrialModel, TrialParamModel, TrialUserAttributeModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

from pipeline.ablation.space import POINT
from pipeline.settings import Values

FEW = 20
"""Most trials that are read one by one; reading all trials takes about as long as reading twenty of them."""


class Place(NamedTuple):
    """The number, the point and the state of a trial."""

    number: int
    id: int
    state: TrialState
    point: str


class Storage(_CachedStorage):
    """An Optuna storage that reads a trial again only if its state has changed, or while it runs.

    Optuna's own storage reads all waiting trials again whenever a sampler or a pruner asks for the trials that have ended.
    """

    def __init__(self, backend: RDBStorage) -> None:
        """Read and write through `backend`."""
        super().__init__(backend)
        self._known: dict[int, FrozenTrial] = {}

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study by number; an instance must be used for one study only."""
        with self._lock:
            stale = [place for place in self.places(study_id) if self._is_stale(place)]
            if len(stale) > FEW:
                self._known = {trial.number: trial for trial in self._backend.get_all_trials(study_id, deepcopy=False)}
            else:
                self._known.update((place.number, self._backend.get_trial(place.id)) for place in stale)
            found = [trial for trial in self._known.values() if states is None or trial.state in states]
        found.sort(key=lambda trial: trial.number)
        return copy.deepcopy(found) if deepcopy else found

    def _is_stale(self, place: Place) -> bool:
        known = self._known.get(place.number)
        return known is None or known.state != place.state or place.state == TrialState.RUNNING

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Write a parameter directly, because Optuna's cache only knows trials that it has loaded."""
        self._backend.set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def places(self, study_id: int, *states: TrialState) -> list[Place]:
        """Return the places of a study's trials, by number; only those in `states`, if any are given."""
        query = _places(study_id).order_by(TrialModel.number)
        return self._read(query.where(TrialModel.state.in_(states)) if states else query)

    def first_waiting(self, study_id: int) -> Place | None:
        """Return the waiting trial with the lowest number."""
        return next(iter(self._read(_first_waiting(study_id))), None)

    def _read(self, query: "sql.Select[int, int, TrialState, str | None]") -> list[Place]:
        with self._backend.engine.connect() as connection:
            return [
                Place(number, one, state, json.loads(point or '""'))
                for number, one, state, point in connection.execute(query)
            ]

    def claim(self, study_id: int, attributes: Mapping[str, object]) -> Place | None:
        """Set the first waiting trial running, with these user attributes; None if no trial waits.

        The caller must hold the lock of the queue. It is one transaction: a running trial always has the attributes, and if the
        process dies during the call, the trial still waits.
        """
        with Session(self._backend.engine) as session, session.begin():
            found = session.execute(_first_waiting(study_id)).one_or_none()
            if found is None:
                return None
            number, trial_id, _, point = found
            trial = session.get_one(TrialModel, trial_id)
            # The attributes that the trial has from an earlier claim.
            held = {attribute.key: attribute for attribute in trial.user_attributes}
            for key, value in attributes.items():
                attribute = held.get(key) or TrialUserAttributeModel(trial_id=trial_id, key=key)
                attribute.value_json = json.dumps(value)
                session.add(attribute)
            trial.state, trial.datetime_start = TrialState.RUNNING, datetime.now(UTC)
            return Place(number, trial_id, TrialState.RUNNING, json.loads(point or '""'))

    def add_waiting(
        self, study_id: int, trials: Sequence[tuple[str, Values]], kinds: Mapping[str, BaseDistribution]
    ) -> None:
        """Add trials with consecutive numbers in one transaction; the caller must hold the lock of the queue.

        Each trial is given as the name of its point and its settled parameters, whose distributions are `kinds`.
        """
        count = sql.select(sql.func.count()).where(TrialModel.study_id == study_id)
        new = sql.insert(TrialModel).returning(TrialModel.trial_id, sort_by_parameter_order=True)
        written = {name: distribution_to_json(kind) for name, kind in kinds.items()}
        with Session(self._backend.engine) as session, session.begin():
            first = session.scalars(count).one()
            rows = [
                {"study_id": study_id, "number": number, "state": TrialState.WAITING}
                for number in range(first, first + len(trials))
            ]
            ids = session.scalars(new, rows).all() if rows else []
            points = [
                {"trial_id": one, "key": POINT, "value_json": json.dumps(point)}
                for one, (point, _) in zip(ids, trials, strict=True)
            ]
            params = [
                {
                    "trial_id": one,
                    "param_name": name,
                    "param_value": kinds[name].to_internal_repr(value),
                    "distribution_json": written[name],
                }
                for one, (_, settled) in zip(ids, trials, strict=True)
                for name, value in settled.items()
            ]
            for table, values in ((TrialUserAttributeModel, points), (TrialParamModel, params)):
                if values:
                    session.execute(sql.insert(table), values)


def _places(study_id: int) -> "sql.Select[int, int, TrialState, str | None]":
    name = sql.and_(TrialUserAttributeModel.trial_id == TrialModel.trial_id, TrialUserAttributeModel.key == POINT)
    return (
        sql.select(TrialModel.number, TrialModel.trial_id, TrialModel.state, TrialUserAttributeModel.value_json)
        .outerjoin(TrialUserAttributeModel, name)
        .where(TrialModel.study_id == study_id)
    )


def _first_waiting(study_id: int) -> "sql.Select[int, int, TrialState, str | None]":
    return _places(study_id).where(TrialModel.state == TrialState.WAITING).order_by(TrialModel.number).limit(1)
