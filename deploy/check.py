"""What would fail on Composer, found before a deploy and without a cloud."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from airbyte_declaration.declaration import DeclarationError
from deploy import declaration, declared, graphs, packages, placement, settings, sources
from deploy.bundle import Bundle, build, left_out
from deploy.graphs import AIRFLOWS, OURS, Facts
from deploy.packages import Preinstalled
from deploy.problem import Problem
from deploy.settings import UNKNOWN, Target
from stack import places
from stack.checks import Check
from stack.errors import StackError

# Packages of others that DAG files import only for runners that a place on Composer cannot have.
ELSEWHERE = {"docker": "runner.type: docker"}
UNCHECKED = "the packages were not checked"


@dataclass(frozen=True)
class Result:
    """All checks; `is_complete` is False if there was no list of an environment's packages."""

    checks: list[Check]
    is_complete: bool

    @property
    def status(self) -> int:
        """Of the command: 0 all is well, 1 something is wrong, 2 nothing is wrong but the packages were not checked."""
        if any(check.state == "fail" for check in self.checks):
            return 1
        return 0 if self.is_complete else 2


def run(place: str, preinstalled: Path) -> Result:
    """Check the bundle of a place.

    Args:
        place: its name.
        preinstalled: file of an environment's own packages, which may be missing.

    Raises:
        ConfigError: there is no such place on Composer, or a setting is wrong.
    """
    configs = placement.configs(place, UNKNOWN)
    config = configs[0]
    found = list(_settings(place, configs))
    if any(each.state == "fail" for each in found):
        return Result(found, is_complete=preinstalled.exists())
    try:
        bundle = build(place, *configs)
    except StackError as error:
        found += [Check("bundle", "fail", line) for line in str(error).splitlines()]
        return Result(found, is_complete=preinstalled.exists())
    found += [*_bundle(bundle, config), *_airbyte(place)]
    seen = sources.read(bundle.contents)
    if seen.errors:
        problems = (
            Problem(f"{where}: {error}", "correct it; then check again") for where, error in seen.errors.items()
        )
        found += _of("syntax", problems, "")
        return Result(found, is_complete=preinstalled.exists())
    facts = graphs.load(bundle, sorted(seen.imports))
    found += [*_graphs(facts), *_sources(seen, facts), *_declared(config, seen, facts), *_writes(facts)]
    found += _packages(bundle, facts, preinstalled)
    return Result(found, is_complete=preinstalled.exists())


def _of(name: str, problems: Iterable[Problem], fine: str) -> Iterator[Check]:
    """A check for each problem, or one that all is well."""
    found = [Check(name, "fail", problem.found, problem.remedy) for problem in problems]
    yield from found or [Check(name, "ok", fine)]


def _settings(place: str, configs: list[dict[str, Any]]) -> Iterator[Check]:
    fine = "nothing in them is of another machine"
    if place == placement.PRESET:
        fine += "; examples stand for the values of a place of your own"
    examples = dict.fromkeys(("project", "location", "environment"), "example") if place == placement.PRESET else {}
    problems = []
    for config in configs:
        problems += placement.problems(config, places.path(place))
        deployed = config | {"deploy": config["deploy"] | examples}
        problems += [each.at(places.path(place)) for each in settings.problems(deployed)]
    yield from _of("settings", dict.fromkeys(problems), fine)


def _bundle(bundle: Bundle, config: dict[str, Any]) -> Iterator[Check]:
    made = bundle.manifest
    counts = f"{len(made.files)} files, {len(made.packages)} packages, {len(made.environment_variables)} variables"
    yield Check("bundle", "ok", f"{made.id}: {counts}; Composer takes all their names")
    if names := left_out(made.place, config):
        yield Check("bundle", "warn", f"not in git, so left out: {', '.join(names)}", "git add, or delete them")


def _airbyte(place: str) -> Iterator[Check]:
    """The declaration of a place of one's own, as a deploy reads it."""
    if place == placement.PRESET:
        return
    target = Target(place)
    try:
        # The bucket of the sample is not known here.
        found, lacking = declaration.read(target, target.deploy.smoke.source or "gs://the-environments-bucket")
    except StackError as error:
        yield Check("airbyte", "fail", str(error))
        return
    except DeclarationError as error:
        yield Check("airbyte", "fail", " ".join(str(error).split()), "correct the declaration (docs/airbyte.md)")
        return
    told = f"; {', '.join(lacking)}, not set here, will have to be for a deploy" if lacking else ""
    names = ", ".join(each.name for each in found.real.connections)
    yield Check("airbyte", "ok", f"declares {names}, and the same for the smoke run in datasets of its own{told}")


def _graphs(facts: dict[str, Facts]) -> Iterator[Check]:
    for version, each in facts.items():
        name = f"Airflow {version}"
        problems = [
            Problem(f"{', '.join(files)} cannot be imported: {error}", f"try it in var/env/{AIRFLOWS[version]}")
            for error, files in _errors(each).items()
        ]
        if not each.dags and not problems:
            problems.append(Problem("there is no DAG", "see airflow/dags/.airflowignore"))
        ours = facts[OURS].dags
        different = list(graphs.differences(ours, each.dags)) if not problems else []
        told = "; ".join(different[:5]) + (f"; and {len(different) - 5} more" if len(different) > 5 else "")
        if different:
            problems.append(Problem(f"graphs differ from those of {OURS}: {told}", "set the value in the DAG file"))
        shown = ", ".join(f"{dag} ({len(content['tasks'])} tasks)" for dag, content in sorted(each.dags.items()))
        yield from _of(name, problems, f"imports {shown}" + ("" if version == OURS else f", equal to {OURS}"))


def _errors(facts: Facts) -> dict[str, list[str]]:
    """Files by the error that keeps them from being imported, without those of runners that Composer cannot have."""
    found: dict[str, list[str]] = {}
    for file, error in facts.errors.items():
        if error not in (f"ModuleNotFoundError: No module named '{name}'" for name in ELSEWHERE):
            found.setdefault(error, []).append(file)
    return found


def _sources(seen: sources.Sources, facts: dict[str, Facts]) -> Iterator[Check]:
    # Ours has Docker's library; Composer's have what its images and our list have.
    missing = {name for version, each in facts.items() if version != OURS for name in each.missing} - ELSEWHERE.keys()
    problems = [
        Problem(
            f"{name}, imported by {seen.imports[name][0]}, is not on Composer",
            "add it to requirements/composer.in",
        )
        for name in sorted(missing)
    ]
    yield from _of("imports", problems, f"Composer and our packages have all {len(seen.imports)} that DAG files name")
    problems = [
        Problem(
            f"{name}, imported by {', '.join(where)}, is in dags/, which Composer's web server has not", "do without it"
        )
        for name, where in sorted(seen.crossing.items())
    ]
    yield from _of("plugins", problems, "they need no file of dags/ and data/, which Composer's web server has not")
    problems = [
        Problem(f"{path}, in {', '.join(where)}, is on no machine of Composer", "make it a setting")
        for path, where in sorted(seen.paths.items())
    ]
    yield from _of("paths", problems, "no DAG file names a folder of a machine")


def _declared(config: dict[str, Any], seen: sources.Sources, facts: dict[str, Facts]) -> Iterator[Check]:
    known = {
        "connections": {*declared.CONNECTIONS, *declared.OPTIONAL_CONNECTIONS, *config["deploy"]["connections"]},
        "variables": {*declared.VARIABLES, *config["deploy"]["variables"]},
    }
    for kind, names in known.items():
        used: dict[str, list[str]] = getattr(facts[OURS], kind) | getattr(seen, kind)
        problems = [
            Problem(f"{name}, used by {', '.join(users)}, is not declared", f"add it to deploy.{kind} of the place")
            for name, users in sorted(used.items())
            if name not in names
        ]
        yield from _of(kind, problems, f"declared: {', '.join(sorted(used.keys() & names)) or 'none is used'}")
    secret, keys = config["runner"]["kubernetes"]["secret"], ", ".join(declared.SECRETS)
    yield Check("secrets", "ok", f"pods have {keys} and logins by the Secret {secret}; no file of the bundle has any")


def _writes(facts: dict[str, Facts]) -> Iterator[Check]:
    problems = [
        Problem(f"{by} writes {path}, in a mounted folder (Airflow {version})", "write to MLOPS_VAR or to `artifacts`")
        for version, each in facts.items()
        for path, by in each.written.items()
    ]
    yield from _of("writes", problems, "importing the DAG files writes nothing below the mounted folders")


def _packages(bundle: Bundle, facts: dict[str, Facts], file: Path) -> Iterator[Check]:
    if not file.exists():
        remedy = "make composer-packages ENVIRONMENT=NAME, with gcloud and an environment; then check again"
        yield Check("packages", "warn", f"{UNCHECKED}: there is no list of an environment's own ones ({file})", remedy)
        return
    ours, new = bundle.manifest.packages, 0
    cap = next(each for each in map(Requirement, facts[OURS].requirements) if each.name == "structlog")
    try:
        theirs = Preinstalled.read(file)
        clash = packages.clash(theirs, cap)
        problems = [clash] if clash else list(packages.pinned(ours, theirs))
        if not problems:
            new = len(packages.resolve(ours, theirs).keys() - theirs.versions.keys())
    except StackError as error:
        yield Check("packages", "fail", str(error), "use the list of another environment, or other versions of ours")
        return
    yield from _of("packages", problems, f"{theirs.environment}: {new} are added, none of its own changes")
