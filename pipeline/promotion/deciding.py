"""The decision whether the leader of a study replaces the champion, with its evidence, and the messages of a refusal."""

import json
from dataclasses import dataclass

from analysis.analyses.promotion import Verdict, compare_costs, verdict_on
from analysis.results import Results
from pipeline.console import say
from pipeline.errors import RunError, UsageError
from pipeline.evidence import read
from pipeline.run_record import ENVIRONMENT_FILE
from pipeline.tracking import Run, Tracker, Version

NOT_COMPARED = "not compared"
"""Stands for a verdict if there is none: the study has no model to compare its leader with."""
OTHERWISE = "or give --reason TEXT, which promotes it all the same and is recorded with the version"


@dataclass(frozen=True)
class Candidate:
    """The leader of a study, with the run that would be registered."""

    results: Results
    model: str
    run: Run

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.run.tags["seed"])


@dataclass(frozen=True)
class Decision:
    """The decision to promote a candidate, with its reason."""

    verdict: str
    """One of VERDICTS, or NOT_COMPARED."""
    sentence: str
    """The verdict with its evidence, or the reason why there is none."""
    by_verdict: bool
    """Whether the verdict allows the promotion without a reason by the user."""
    against: str = ""
    """The model of the study with which the candidate was compared; empty if there is none."""
    champion: Version | None = None
    """The version that is replaced, if there is one."""
    replaced: Run | None = None
    """The run of that version, if the store has it."""


def decide(candidate: Candidate, champion: Version | None, tracker: Tracker, *, reason: str) -> Decision | None:
    """Compare a candidate with the champion; return None, and print a line, if nothing has to change.

    Nothing has to change if the candidate is the champion already, or, without a `reason`, if it is another seed of the champion's
    model. Without a `reason`, RunError if the verdict does not allow the promotion, and UsageError if the study has no verdict on
    the two.
    """
    if champion is None:
        return _checked(_first(candidate), "the first champion must be better than the reference of its study", reason)
    title = f"{champion.name} version {champion.number}"
    if champion.run_id == candidate.run.id:
        say(f"nothing changes: the champion, {title}, is this run already ({candidate.model}, seed {candidate.seed})")
        return None
    replaced = tracker.get_all([champion.run_id]).get(champion.run_id) if champion.run_id else None
    against = _same_variant(replaced, candidate.results, tracker)
    if against is None:
        if not reason:
            raise _not_in_study(candidate, title, replaced)
        said = f"{candidate.model} was not compared with the model of version {champion.number}."
        return Decision(NOT_COMPARED, said, by_verdict=False, champion=champion, replaced=replaced)
    if against == candidate.model:
        said = f"{against}, the model of the champion, {title}, leads this study"
        if not reason:
            say(
                f"nothing changes: {said}; that seed {candidate.seed} is better than the champion's is no claim of a study"
            )
            return None
        return Decision(NOT_COMPARED, f"{said}.", False, against, champion, replaced)
    found = _against(candidate, against, champion, replaced, tracker)
    return _checked(
        found, f"{candidate.model} must be better than the champion, {title}, or equivalent and cheaper", reason
    )


def _first(candidate: Candidate) -> Decision:
    """Compare the candidate with the reference of its study."""
    reference = candidate.results.reference
    if reference == candidate.model:
        return Decision(NOT_COMPARED, f"{reference} leads its study, and is the reference itself.", by_verdict=False)
    verdict = verdict_on(candidate.results, candidate.model, reference)
    return Decision(verdict.word, verdict.sentence, verdict.word == "better", reference)


def _against(candidate: Candidate, against: str, champion: Version, replaced: Run | None, tracker: Tracker) -> Decision:
    verdict: Verdict = verdict_on(candidate.results, candidate.model, against)
    allowed, sentence = verdict.word == "better", verdict.sentence
    if verdict.word == "equivalent":
        timed = _timed_alike(candidate.results, (candidate.model, against), tracker)
        costs = compare_costs(candidate.results, candidate.model, against, timed=timed)
        allowed = costs.cheaper
        sentence += f" {candidate.model} is {'cheaper' if allowed else 'not cheaper'}: {costs.sentence}."
    return Decision(verdict.word, sentence, allowed, against, champion, replaced)


def _checked(decision: Decision, must: str, reason: str) -> Decision:
    if not decision.by_verdict and not reason:
        raise RunError(
            f"promote: {must}, got {decision.verdict}: {decision.sentence} Promote a study that decides it, {OTHERWISE}."
        )
    return decision


def _same_variant(replaced: Run | None, results: Results, tracker: Tracker) -> str | None:
    """Return the model of a study whose runs differ from the champion's only in the seed; None if there is none."""
    variant = replaced.tags.get("variant") if replaced else None
    runs = tracker.get_all(list(results.runs["run_id"]))
    for _, row in results.runs.iterrows():
        if variant and runs[row["run_id"]].tags.get("variant") == variant:
            return str(row["model"])
    return None


def _not_in_study(candidate: Candidate, title: str, replaced: Run | None) -> UsageError:
    models = ", ".join(candidate.results.models)
    if replaced is None:
        return UsageError(
            f"promote: the run of the champion, {title}, must be in this experiment to be compared with, got none. Restore it, {OTHERWISE}."
        )
    name, variant = replaced.tags.get("model", replaced.name), replaced.tags.get("variant", "unknown")
    return UsageError(
        f"promote: the study must hold the champion's variant, {name} ({title}, variant {variant}), got {models}. Add that variant, with "
        f"the config.json of run {replaced.id}, to a study, run compare and promote that study, {OTHERWISE}."
    )


def _timed_alike(results: Results, models: tuple[str, str], tracker: Tracker) -> bool:
    """Return whether all runs of two models were trained on the same processor and kind of device."""
    runs = tracker.get_all(list(results.runs.loc[results.runs["model"].isin(models), "run_id"]))
    return len({(environment_of(run, tracker).get("processor"), run.tags["device"]) for run in runs.values()}) == 1


def environment_of(run: Run, tracker: Tracker) -> dict[str, object]:
    """Return the machine, the versions and the data that a run was trained with."""
    file = read(run, [ENVIRONMENT_FILE], tracker)[ENVIRONMENT_FILE]
    environment: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    return environment
