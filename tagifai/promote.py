"""promote: register the candidate, and make it the champion if it is not worse than the current one."""

import logging
from typing import TYPE_CHECKING, Any

from tagifai import dataset, registry, train
from tagifai.evaluate import measure
from tagifai.model import columns_of
from tagifai.settings import Settings
from tagifai.split import held_out

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)


def promote(settings: Settings, *, uri: str, folder: str) -> dict[str, Any]:
    """Compare candidate and champion on the held-out rows; if the candidate is not worse, it becomes the champion.

    If the champion was trained with another split, only the rows that both splits hold out are compared. One that reads
    other columns than `columns.texts`, as those of older code do, which held rows out by their ids, is replaced. A
    candidate is registered once, however often this runs, and an interrupted call can be repeated.

    Returns:
        `candidate`: `name`, `version`, `f1_weighted`, `f1_macro`, `precision`, `recall`, `test_rows`, `cv_f1`,
        `trials`; `champion` after the decision: `name`, `version`, `alias`, `f1_weighted`; `previous`: the champion
        that the candidate was compared with, `version` and its metrics on the rows compared, or None; `decision`:
        `promoted` or `kept`; `reason`; `git_revision` of the code that registered the candidate; `mlflow`: the
        candidate's `experiment`, `run`, `model` and `version` there.

    Raises:
        TagifaiError: the snapshot or the model is missing, or MLflow does not answer.
    """
    model, facts, test = train.load(folder), train.facts_of(folder), dataset.load(settings, uri).test
    metrics = measure(model, test, settings)
    candidate = registry.register(settings, model, facts, metrics, test, uri=uri)
    champion = registry.champion(settings)
    best = metrics["f1_weighted"]
    shown, previous = ("f1_weighted", "f1_macro", "precision", "recall", "test_rows"), None
    if champion is None:
        decision, reason = "promoted", "there was no champion"
    elif champion.version == candidate.version:
        decision, reason = "kept", f"version {champion.version} is already the champion: model and data are unchanged"
    elif (rows := _held_out_of(champion, test, settings)).empty:
        decision, reason = "promoted", f"version {champion.version} was trained on all of the current held-out rows"
    elif (read := columns_of(loaded := registry.load(settings, champion))) != [*settings.columns.texts]:
        decision, reason = "promoted", f"version {champion.version} reads {', '.join(read) or 'other columns'}"
    else:
        score = measure(model, rows, settings)["f1_weighted"]
        rival = measure(loaded, rows, settings)
        previous = {"version": str(champion.version), **{name: rival[name] for name in shown}}
        best = rival["f1_weighted"]
        decision = "promoted" if score >= best else "kept"
        reason = (
            f"weighted F1 {score:.4f} of version {candidate.version} is {'not ' if score >= best else ''}lower than "
            f"{best:.4f} of version {champion.version} on the same {len(rows)} held-out rows"
            f"{' of both splits' if len(rows) < len(test) else ''}"
        )
    if champion is None or champion.version != candidate.version:
        # Before the alias: if this is interrupted, the next call decides and records again.
        registry.record(settings, candidate, decision=decision, reason=reason)
    if champion is None or decision == "promoted":
        registry.make_champion(settings, candidate)
        champion, best = candidate, metrics["f1_weighted"]
    logger.info("%s: %s", decision, reason)
    return {
        "candidate": {
            "name": candidate.name,
            "version": str(candidate.version),
            **{name: metrics[name] for name in shown},
            "cv_f1": facts["cv_f1"],
            "trials": facts["trials"],
        },
        "champion": {
            "name": champion.name,
            "version": str(champion.version),
            "alias": registry.CHAMPION,
            "f1_weighted": best,
        },
        "previous": previous,
        "decision": decision,
        "reason": reason,
        "git_revision": candidate.tags["git_revision"],
        "mlflow": registry.place(settings, candidate),
    }


def _held_out_of(champion: "ModelVersion", test: "pd.DataFrame", settings: Settings) -> "pd.DataFrame":
    """The held-out rows that the champion has not been trained on; all if its split is the current one or unknown."""
    split = registry.split_of(settings, champion) or settings.split
    if split == settings.split:
        # Also where too few rows are held out by their hashes alone.
        return test
    return test[held_out(test, texts=settings.columns.texts, **split.model_dump())]
