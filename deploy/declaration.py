"""The Airbyte of a place: its declared connections, and a second set of them for the smoke run."""

import json
import os
from collections import ChainMap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airbyte_declaration.client import AirbyteApi
from airbyte_declaration.declaration import Declaration
from airbyte_declaration.plan import Plan, Step
from deploy.settings import DATASETS, Target
from stack import airbyte, places
from stack.errors import StackError

# In front of the names of what the smoke run uses in Airbyte; airflow/dags/pipeline/smoke.py has the same.
SMOKE = "smoke "
_WAREHOUSE = "MLOPS_WAREHOUSE__"
_GUIDE = "as docs/production.md does in step 6"


@dataclass(frozen=True)
class Declared:
    """The declaration of a place, that of its smoke run, and the connection to the Airbyte as Airflow takes it."""

    real: Declaration
    smoke: Declaration
    connection: str

    def apply(self, digests: Path) -> tuple[list[str], dict[str, str]]:
        """Make Airbyte match; returns what was changed in words, and the ids of the connections of both by name.

        Raises:
            AirbyteError: Airbyte refused or does not answer.
            DeclarationError: something that exists cannot be changed to what is declared.
        """
        changes, ids = [], {}
        for declaration in (self.real, self.smoke):
            plan = self._plan(declaration, digests)
            changes += [_words(each) for each in plan.apply() if each.is_change]
            ids |= plan.ids()
        return changes, ids

    def changes(self, digests: Path) -> list[str]:
        """What `apply` would change, in words."""
        steps = [step for each in (self.real, self.smoke) for step in self._plan(each, digests).steps()]
        return [_words(each) for each in steps if each.is_change]

    @staticmethod
    def _plan(declaration: Declaration, digests: Path) -> Plan:
        address = declaration.airbyte
        assert address is not None
        key = address.client_secret.get_secret_value()
        return Plan(declaration, AirbyteApi(address.url, address.client_id, key), digests, key=key)


class _Unset(dict[str, str]):
    """Variables that nobody has set: each that is asked for is there, with its name as its value."""

    def __contains__(self, name: object, /) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return self.setdefault(name, name)


def declared(target: Target, smoke_source: str) -> Declared:
    """The declarations of a place.

    Raises:
        DeclarationError: the declaration is wrong.
        StackError: as by `read`, or a variable is not set.
    """
    found, lacking = read(target, smoke_source)
    if lacking:
        raise StackError(
            f"{_overlay(target)} needs {', '.join(lacking)}: set them in the environment of this command, {_GUIDE}"
        )
    return found


def read(target: Target, smoke_source: str) -> tuple[Declared, list[str]]:
    """The declarations of a place, and the variables that the caller has not set; these have their names as values.

    Raises:
        DeclarationError: the declaration is wrong.
        StackError: the place has no overlay, this names no Airbyte or no destination of the place's own, or a
            destination is the same for the smoke run.
    """
    config, unset = target.config, _Unset()
    if not airbyte.overlays(config, places.presets(target.place)):
        raise StackError(
            f"{_overlay(target)} is missing, which names Airbyte, source and destination: write it, {_GUIDE}"
        )
    real = _load(target, None, config["warehouse"], unset)
    if names := sorted(name for name in unset if name.startswith(_WAREHOUSE)):
        raise StackError(
            f"{_overlay(target)} leaves a destination that reads {', '.join(names)}, which the warehouse here has not:"
            f" declare its destination there, {_GUIDE}"
        )
    if real.airbyte is None:
        raise StackError(f"{_overlay(target)} names no Airbyte: give it airbyte: {{url, clientId, clientSecret}}")
    prefix = f"{config['warehouse'].get('prefix') or ''}{DATASETS}"
    other = _load(target, smoke_source, config["warehouse"] | {"prefix": prefix}, unset)
    for one, two in zip(real.destinations, other.destinations, strict=True):
        if one.configuration == two.configuration:
            raise StackError(
                f"destination {one.name}: the smoke run would load into the place's own dataset: write its dataset as"
                " ${MLOPS_WAREHOUSE__PREFIX}raw"
            )
    return Declared(real, _renamed(other), airbyte.connection_to(real.airbyte)), sorted(unset)


def _overlay(target: Target) -> Path:
    return Path(target.config["airbyte"]["connections"]).with_suffix(f".{target.place}.yaml")


def _words(step: Step) -> str:
    return f"{step.action} {step.kind} {step.name}"


def _load(target: Target, source: str | None, warehouse: dict[str, Any], unset: _Unset) -> Declaration:
    own = {
        "MLOPS_SOURCE": source or target.config["source"],
        "MLOPS_ARTIFACTS": target.config["artifacts"],
        **{
            f"{_WAREHOUSE}{name.upper()}": json.dumps(value) if isinstance(value, dict) else str(value)
            for name, value in warehouse.items()
            if value is not None
        },
    }
    configs = [config | ({"source": source} if source else {}) for config in target.configs]
    return airbyte.overlaid(configs, places.presets(target.place), ChainMap(own, os.environ, unset))


def _renamed(declaration: Declaration) -> Declaration:
    def actors(found: list[Any]) -> list[Any]:
        return [each.model_copy(update={"name": f"{SMOKE}{each.name}"}) for each in found]

    connections = [
        each.model_copy(
            update={end: f"{SMOKE}{getattr(each, end)}" for end in ("name", "source", "destination")},
        )
        for each in declaration.connections
    ]
    return declaration.model_copy(
        update={
            "sources": actors(declaration.sources),
            "destinations": actors(declaration.destinations),
            "connections": connections,
        }
    )
