"""The report of each command: what the page and the summary of a run show about it, as JSON.

A report has any of `rows_in`, `rows_out`, `note`, `links`, `headlines`, `sections` and `summary`; the command line adds
`bytes_billed` where the warehouse bills by bytes. A link is a URL or `mlflow:/PATH`. A section is a table: `title`,
`text`, `columns`, `rows`; a cell is a text, a number, None or {"text", "share"}, which is drawn as a bar.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tagifai import findings, train
from tagifai.findings import Findings
from tagifai.settings import Settings

Facts = dict[str, Any]
# Trials shown, best first.
SHOWN_TRIALS = 50
# MLflow's UI opens in its view for GenAI otherwise, which lacks half of a training run.
VIEW = "?workflowType=machine_learning"
METRICS = ("f1_weighted", "f1_macro", "precision", "recall")


def _extract(settings: Settings, facts: Facts, options: Facts) -> Facts:
    return {"rows_in": facts["rows"], "rows_out": facts["rows"], "note": f"snapshot {facts['snapshot'][:12]}"}


def _optimize(settings: Settings, facts: Facts, options: Facts) -> Facts:
    note = "no trial was left to run" if facts["reused"] else f"{_count(facts['run'], 'trial')} run"
    return {"rows_in": findings.read(settings, facts["study"])["train_rows"], "note": note}


def _train(settings: Settings, facts: Facts, options: Facts) -> Facts:
    return _run_module(settings, facts, options) if "module" in facts else _best_trial(settings, facts, options)


def _run_module(settings: Settings, facts: Facts, options: Facts) -> Facts:
    module, report = facts["module"], _best_trial(settings, facts, options)
    text = (
        f"{module['uri']}, sha256 {module['sha256']}, fitted the model in an environment of its own. "
        f"It requires {', '.join(module['requirements']) or 'nothing'}. The trials below were given to it."
    )
    rows = [[name, _digits(metric)] for name, metric in facts["metrics"].items()]
    section = {"title": "Model module", "text": text, "columns": ["Its own metric", "Value"], "rows": rows}
    note = f"fitted by the module {module['uri'].rsplit('/', 1)[-1]}, sha256 {module['sha256'][:12]}"
    headlines = {"module": f"{module['uri']}, sha256 {module['sha256'][:12]}"} | report["headlines"]
    return report | {"note": note, "headlines": headlines, "sections": [section, *report["sections"]]}


def _best_trial(settings: Settings, facts: Facts, options: Facts) -> Facts:
    name, found = options["study"], findings.read(settings, options["study"])
    trials, run = found["trials"], sum(trial["new"] for trial in found["history"])
    study = {"name": name, "trials": trials, "run": run, "reused": run == 0}
    told = f"{run} run now" if run else "all reused from an earlier run"
    notes = [*facts["data"]["notes"], *found["notes"]]
    headlines = {"trials": f"{trials}, {told}"} | ({"to know": "; ".join(notes)} if notes else {})
    return {
        "rows_in": facts["train_rows"],
        "note": f"the best of {_count(trials, 'trial')}, cross-validated F1 {found['best_value']:.3f}",
        "headlines": headlines,
        "sections": [*_notes(notes), _trials(study, facts["snapshot"], found)],
        "summary": {"study": study},
    }


def _notes(notes: list[str]) -> list[Facts]:
    rows = [[f"{note[:1].upper()}{note[1:]}."] for note in notes]
    return [{"title": "To know about the data and the search", "columns": ["Note"], "rows": rows}] if notes else []


def _trials(study: Facts, snapshot: str, found: Findings) -> Facts:
    best, *others = ranked = sorted(found["history"], key=lambda trial: (-trial["value"], trial["number"]))
    low, high = ranked[-1]["value"], best["value"]
    constant = {
        name: value
        for name, value in best["params"].items()
        if others and all(trial["params"].get(name) == value for trial in others)
    }
    varied = [name for name in best["params"] if name not in constant]
    rows = []
    for trial in ranked[:SHOWN_TRIALS]:
        marks = " ★ best" * (trial is best) + " reused" * (not trial["new"] and not study["reused"])
        share = (trial["value"] - low) / (high - low) if high > low else 1.0
        score = {"text": f"{trial['value']:.3f}{marks}", "share": share}
        rows.append(
            [trial["number"], score, *(_digits(trial["params"][name]) for name in varied), round(trial["seconds"], 1)]
        )
    told = (
        f"{study['run']} run now"
        if study["run"]
        else "all reused: an earlier run had the same snapshot, code and search"
    )
    texts = [
        f"{_count(study['trials'], 'trial')}, {told}",
        f"F1 is weighted and cross-validated. Study {study['name']} of snapshot {snapshot}",
    ]
    if len(ranked) > SHOWN_TRIALS:
        texts.append(f"{len(ranked) - SHOWN_TRIALS} more have lower scores")
    if constant:
        texts.append("The same in all: " + ", ".join(f"{name} {value}" for name, value in constant.items()))
    columns = ["Trial", "F1, worst to best", *varied, "Seconds"]
    return {"title": "Trials", "text": f"{'. '.join(texts)}.", "columns": columns, "rows": rows}


def _evaluate(settings: Settings, facts: Facts, options: Facts) -> Facts:
    model = train.facts_of(options["folder"])
    candidate = {"version": None, **{name: facts[name] for name in (*METRICS, "test_rows")}}
    candidate |= {"trials": model["trials"], "cv_f1": model["cv_f1"]}
    classes = [[name, each["rows"], *_scores(each)] for name, each in facts["per_class"].items()]
    weighted = {"precision": facts["precision"], "recall": facts["recall"], "f1": facts["f1_weighted"]}
    means = [["weighted", facts["test_rows"], *_scores(weighted)], ["macro", None, None, None, _bar(facts["f1_macro"])]]
    slices = [
        [name, each["rows"], None if each["f1_weighted"] is None else _bar(each["f1_weighted"])]
        for name, each in facts["slices"].items()
    ]
    text = (
        f"On {_count(facts['test_rows'], 'held-out row')} that neither the search nor the training saw. "
        f"Model {model['fingerprint']}, trained on {_count(model['train_rows'], 'row')}."
    )
    columns = ["Class", "Rows", "Precision", "Recall", "F1"]
    return {
        "rows_in": facts["test_rows"],
        "note": f"weighted F1 {facts['f1_weighted']:.3f}",
        "headlines": {"candidate": f"not registered: {_candidate(candidate)}"},
        "sections": [
            {"title": "Metrics", "text": text, "columns": columns, "rows": classes + means},
            {"title": "Metrics by slice", "columns": ["Slice", "Rows", "Weighted F1"], "rows": slices},
        ],
        "summary": {"candidate": candidate},
    }


def _promote(settings: Settings, facts: Facts, options: Facts) -> Facts:
    candidate, champion, place = facts["candidate"], facts["champion"], facts["mlflow"]
    shown = {name: each for name, each in candidate.items() if name != "name"}
    decision, reason = facts["decision"], facts["reason"]
    experiment = f"mlflow:/#/experiments/{place['experiment']}"
    links = {
        "MLflow run": f"{experiment}/runs/{place['run']}{VIEW}",
        "MLflow experiment": f"{experiment}{VIEW}",
        "MLflow model": _version(candidate),
    }
    if champion["version"] != candidate["version"]:
        links["MLflow champion"] = _version(champion)
    named = f"{champion['name']} version {champion['version']}"
    return {
        "rows_in": candidate["test_rows"],
        "note": f"version {candidate['version']} {_decided(decision)}",
        "links": links,
        "headlines": {
            "candidate": f"version {candidate['version']}: {_candidate(candidate)}",
            "champion": f"{named}, f1_weighted {champion['f1_weighted']:.3f}; candidate {decision}: {reason}",
        },
        "sections": [_comparison(facts, train.facts_of(options["folder"]), now=named)],
        "summary": {"candidate": shown, "champion": champion, "gate": {"decision": decision, "reason": reason}},
    }


def _comparison(facts: Facts, model: Facts, *, now: str) -> Facts:
    roles = {"Candidate": facts["candidate"], "Champion before": facts["previous"]}
    rows = [
        [f"{role}, version {each['version']}", *(f"{each[name]:.3f}" for name in METRICS), each["test_rows"]]
        for role, each in roles.items()
        if each
    ]
    text = (
        f"{_decided(facts['decision']).capitalize()}: {facts['reason']}. Champion now: {now}. "
        f"The candidate: fingerprint {model['fingerprint']}, snapshot {model['snapshot']}, study {model['study']}, "
        f"git revision {facts['git_revision'][:12]}{_fitted_by(model)}."
    )
    columns = ["", "Weighted F1", "Macro F1", "Precision", "Recall", "Held-out rows"]
    return {"title": "Candidate and champion", "text": text, "columns": columns, "rows": rows}


def _predict(settings: Settings, facts: Facts, options: Facts) -> Facts:
    version = facts["model_version"]
    return {
        "rows_in": facts["rows"],
        "rows_out": facts["rows"],
        # A file has no labels.
        "note": f"predicted by version {version}" + (f"; {_unlabeled(facts)}" if "unlabeled" in facts else ""),
        "links": {"MLflow champion": _version({"name": settings.model.name, "version": version})},
    }


def _publish(settings: Settings, facts: Facts, options: Facts) -> Facts:
    note = "published in one transaction" if facts["published"] else "not published: newer ones are published already"
    told = f"{facts['rows']:,} by version {facts['model_version']}, {note}; {_unlabeled(facts)}"
    return {
        "rows_in": facts["rows"],
        "rows_out": facts["rows"] if facts["published"] else 0,
        "note": note,
        "headlines": {"predictions": told},
        "summary": {"predictions": facts},
    }


def _spoil(settings: Settings, facts: Facts, options: Facts) -> Facts:
    return {"rows_out": len(facts["rows"]), "note": f"{_count(len(facts['rows']), 'bad row')} appended"}


def _unlabeled(facts: Facts) -> str:
    return f"{_count(facts['unlabeled'], 'row')} without a label"


def _check(settings: Settings, facts: Facts, options: Facts) -> Facts:
    wrong = [name for name, problem in facts.items() if problem]
    return {"note": f"{', '.join(wrong)}: not usable" if wrong else "every service can be used"}


def _candidate(candidate: Facts) -> str:
    scores = ", ".join(f"{name} {candidate[name]:.3f}" for name in METRICS)
    searched = "" if candidate["cv_f1"] is None else f"; cross-validated {candidate['cv_f1']:.3f}"
    return f"{scores} on {candidate['test_rows']} held-out rows{searched}"


def _fitted_by(model: Facts) -> str:
    module = model.get("module")
    return f", fitted by {module['uri']} with the sha256 {module['sha256']}" if module else ""


def _decided(decision: str) -> str:
    return "promoted" if decision == "promoted" else "not promoted"


def _version(model: Facts) -> str:
    return f"mlflow:/#/models/{quote(model['name'], safe='')}/versions/{model['version']}{VIEW}"


def _scores(scores: Facts) -> list[Any]:
    return [f"{scores['precision']:.3f}", f"{scores['recall']:.3f}", _bar(scores["f1"])]


def _bar(score: float) -> Facts:
    return {"text": f"{score:.3f}", "share": score}


def _digits(value: Any) -> Any:
    """A parameter with at most 4 significant digits."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


REPORTS: dict[str, Callable[[Settings, Facts, Facts], Facts]] = {
    "check": _check,
    "extract": _extract,
    "optimize": _optimize,
    "train": _train,
    "run-module": _run_module,
    "evaluate": _evaluate,
    "promote": _promote,
    "predict": _predict,
    "publish": _publish,
    "spoil": _spoil,
}
