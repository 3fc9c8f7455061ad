"""Promotion of the best model of a study: it becomes a new version of a registered model, with the alias `champion`."""

from collections.abc import Iterator
from contextlib import contextmanager

from analysis.analyses.promotion import chosen_run, leader
from pipeline.console import phase, say
from pipeline.errors import UsageError
from pipeline.promotion.card import Promotion, body, description, headline
from pipeline.promotion.deciding import Candidate, decide
from pipeline.run_record import PACKAGED
from pipeline.stored_study import StoredStudy, load_results
from pipeline.tracking import Check, Tracker

NAME = "event-classifier"
"""Default name of the registered model."""
CHAMPION, PREVIOUS = "champion", "previous"
"""Aliases: the version in use, and the one before it."""
PROMOTIONS_KIND = "promotions"
"""Value of the tag `kind` of the run that stands for a registered model: it holds the cards, and its owner may promote."""
WAIT_SECONDS = 60.0
"""How long a promotion waits for another one to end."""


def promote(study: StoredStudy, tracker: Tracker, *, name: str = NAME, reason: str = "") -> None:
    """Make the leader of a study the champion if its verdict against the current champion allows it, or for a given reason.

    After a refusal, or if the run is the champion already, nothing is changed.
    """
    phase("reading the study")
    results = load_results(study, tracker, allow_missing=False, probes=False)
    model = leader(results)
    candidate = Candidate(results, model, tracker.get(str(chosen_run(results, model)["run_id"])))
    if PACKAGED not in candidate.run.tags:
        raise _not_packaged(candidate)
    registry = tracker.registry
    if not decide(candidate, registry.of_alias(name, CHAMPION), tracker, reason=reason):  # before anything is written
        return
    with _alone(name, tracker) as (home, check):
        decision = decide(
            candidate, registry.of_alias(name, CHAMPION), tracker, reason=reason
        )  # decided again, because another promotion may have come first
        if decision:
            _register(Promotion(study, candidate, decision, reason), tracker, name=name, home=home, check=check)


@contextmanager
def _alone(name: str, tracker: Tracker) -> Iterator[tuple[str, Check]]:
    """Own the run that stands for a registered model, so that no other promotion runs; yield its id and the check."""
    home = tracker.sole(f"{name} promotions", {"kind": PROMOTIONS_KIND, "registered_model": name}, tags={})
    with tracker.own(home, WAIT_SECONDS, lambda owner: say(f"waiting for {owner}, which promotes to {name}")) as check:
        if tracker.get(home).status != "FINISHED":
            tracker.set_status(home, "FINISHED")  # the run is never work in progress
        yield home, check


def _register(promotion: Promotion, tracker: Tracker, *, name: str, home: str, check: Check) -> None:
    """Register the version with its card, and move the aliases last: until then the version is not loaded by anybody."""
    registry, candidate, decision = tracker.registry, promotion.candidate, promotion.decision
    blocks = body(promotion, tracker)
    check()
    try:
        version = registry.add(name, candidate.run.id, _tags(promotion))
    except FileNotFoundError:
        raise _not_packaged(candidate) from None
    blocks.insert(0, headline(promotion, version))
    path = f"cards/version-{version.number}.md"
    tracker.log_text(home, path, "\n\n".join(blocks) + "\n")
    whole = f"{tracker.site}{tracker.page(home, path)}" if tracker.site else f"{path} of run {home}"
    registry.describe(version, description(blocks, whole))
    check()
    champion = decision.champion
    if champion:
        registry.point(PREVIOUS, champion)
    registry.point(CHAMPION, version)
    place = f", in place of version {champion.number}, which is {PREVIOUS} now" if champion else ""
    what = f"{candidate.model}, seed {candidate.seed}, run {candidate.run.id}"
    say(f"{name} version {version.number} is the {CHAMPION}{place}: {what}")
    if promotion.reason:
        say(f"reason: {promotion.reason}")
    say(f"verdict: {decision.sentence}")
    say(f"load it with: mlflow.pyfunc.load_model('models:/{name}@{CHAMPION}')")
    say(f"model card: {whole}")
    if page := registry.page(version):
        say(f"version in MLflow: {tracker.site}{page}")


def _tags(promotion: Promotion) -> dict[str, str]:
    """Return the tags of the version: its origin, and the decision by which it was promoted."""
    study, candidate, decision = promotion.study, promotion.candidate, promotion.decision
    tags = {
        "study": study.id,
        "study_name": study.name,
        "model": candidate.model,
        "seed": str(candidate.seed),
        "variant": candidate.run.tags.get("variant", ""),
        "data_digest": candidate.run.tags.get("data_digest", ""),
        "verdict": decision.verdict,
        "decided_by": "verdict" if decision.by_verdict else "reason",
        "against": decision.against,
        "follows": str(decision.champion.number) if decision.champion else "",
        "reason": promotion.reason,
    }
    return {tag: value for tag, value in tags.items() if value}


def _not_packaged(candidate: Candidate) -> UsageError:
    return UsageError(
        f"promote: the run of {candidate.model} seed {candidate.seed} must hold its model in the form that MLflow loads, got run "
        f"{candidate.run.id} without it. Run compare of a study with this variant, which stores it; where the study was imported, import a "
        "file that was exported with --weights first."
    )
