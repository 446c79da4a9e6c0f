"""The section `deploy` of a place's config: which environment of Composer the place is, and how a deploy treats it."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from deploy import declared, placement
from deploy.bundle import Bundle, build
from deploy.problem import Problem
from stack import places
from stack.errors import StackError
from stack.settings import ROOT, ConfigError

# What a smoke run loads, unless another source is set.
SAMPLE = ROOT / "data" / "sample"
# In front of the names of a smoke run's datasets, behind the place's own prefix, and of its model;
# airflow/dags/pipeline/smoke.py has the same.
DATASETS = "smoke_"
# Stands for the image of a place with a registry until it is pushed.
UNKNOWN = f"unknown@sha256:{'0' * 64}"


def _other(name: str) -> str:
    if name in {*declared.CONNECTIONS, *declared.VARIABLES}:
        raise ValueError("a deploy sets it by itself")
    return name


def _exported(name: str) -> str:
    if "-" in name:
        raise ValueError(f"no shell can export AIRFLOW_CONN_{name.upper()}: write _ in place of -")
    return name


def _plain(value: Any) -> Any:
    # Of 1.10, YAML leaves 1.1.
    if value is not None and not isinstance(value, str | int):
        raise ValueError("write a text in quotes, a whole number, true, false or null")
    return value


Scalar = Annotated[Any, AfterValidator(_plain)]
# Of a connection or variable; part of the name of a secret.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$"), AfterValidator(_other)]
# At most a day; longer ones are slips, and at some length no date any more.
Seconds = Annotated[float, Field(gt=0, le=86_400)]
# Settings whose values may be secrets by mistake.
_UNSHOWN = ("connections", "variables", "environment_variables")


class Smoke(BaseModel):
    """The smoke run.

    Attributes:
        source: folder or URL of its source files; None: data/sample, which the deploy puts into the bucket.
        timeout: seconds that both graphs of an application may take together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str | None
    timeout: Seconds


class Deploy(BaseModel):
    """How a place is deployed.

    Attributes:
        project: id of the Google Cloud project.
        location: region of the environment.
        environment: its name.
        registry: repository of images, HOST/PROJECT/NAME, to which a deploy pushes; None: `runner.image` is used.
        packages: file of the packages beside those of Composer's image.
        airflow_options: Airflow's options by section-key; None: not set, though the preset has it.
        environment_variables: by name; none is a secret.
        connections: ids of Airflow's connections whose values are in the caller's AIRFLOW_CONN_….
        variables: Airflow's variables by name; None: the value is in the caller's AIRFLOW_VAR_….
        sync: seconds after which Composer's machines have what was put into the bucket.
        import_timeout: seconds in which Airflow has to import the DAGs, more than `sync`.
        keep: number of deployed manifests whose files stay in the bucket, the newest.
        smoke: the smoke run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(min_length=1)
    location: str = Field(min_length=1)
    environment: str = Field(min_length=1)
    registry: str | None
    packages: str
    airflow_options: dict[str, Scalar]
    environment_variables: dict[str, Scalar]
    connections: list[Annotated[Name, AfterValidator(_exported)]]
    variables: dict[Name, str | None]
    sync: float = Field(ge=0, le=86_400)
    import_timeout: Seconds
    keep: int = Field(ge=2)
    smoke: Smoke

    @field_validator("variables")
    @classmethod
    def _can_be_given(cls, variables: dict[str, str | None]) -> dict[str, str | None]:
        if name := next((name for name, value in variables.items() if value is None and "-" in name), None):
            raise ValueError(f"no shell can export AIRFLOW_VAR_{name.upper()}: give {name} a value, or write _ for -")
        return variables

    @field_validator("import_timeout")
    @classmethod
    def _is_possible(cls, seconds: float, info: ValidationInfo) -> float:
        if seconds <= info.data.get("sync", 0):
            raise ValueError("what Airflow reads within the seconds of deploy.sync does not count: set more than these")
        return seconds


class Target:
    """A place with its merged config and the settings of its deploy.

    Attributes:
        configs: the merged config of each application.
        config: of the first one, from which all is read that is not an application's own.
    """

    def __init__(self, place: str):
        """Read config/.

        Raises:
            ConfigError: there is no such place, it is not on Composer, or a setting of it is wrong.
        """
        if place == placement.PRESET:
            raise ConfigError(
                f"PLACE={place} has only examples: write a place of your own with `preset: {place}`"
                f" ({places.path('staging')}) and give its name"
            )
        self.place = place
        self.configs = placement.configs(place, UNKNOWN)
        self.config = self.configs[0]
        if found := [each for config in self.configs for each in problems(config)]:
            raise ConfigError(f"{places.path(place)}: {'; '.join(dict.fromkeys(found))}")
        self.deploy = Deploy.model_validate(self.config["deploy"])

    def bundle(self) -> Bundle:
        """The bundle of this checkout.

        Raises:
            StackError: the config cannot work on Composer, or the bundle cannot be made.
        """
        found = [each for config in self.configs for each in placement.problems(config, places.path(self.place))]
        if found:
            raise StackError("\n".join(dict.fromkeys(found)))
        return build(self.place, *self.configs)

    @property
    def name(self) -> str:
        """The environment in words."""
        return f"{self.deploy.environment} in {self.deploy.location} of the project {self.deploy.project}"


def problems(config: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong with how a place is deployed; `runner.image` is UNKNOWN where it is not set."""
    try:
        Deploy.model_validate(config["deploy"])
    except ValidationError as error:
        for each in error.errors():
            where = f"deploy.{'.'.join(map(str, each['loc']))}"
            found = "" if each["loc"][0] in _UNSHOWN else f", not {each['input']!r}"
            yield Problem(
                f"{where}: {each['msg'].removeprefix('Value error, ')}{found}", "see config/places/composer.yaml"
            )
    if not config["deploy"]["smoke"]["source"] and (lacking := places.lacking(config, SAMPLE)):
        remedy = (
            "set it to a folder or URL with source files of all applications, each with `min_rows` rows or more, and "
            "with `checks.min_labeled` labels"
        )
        yield Problem(f"deploy.smoke.source: {SAMPLE.relative_to(ROOT)} has no {lacking[0]}", remedy)
    name = config["application"]
    for setting, value in (("namespace", f"{config.get('namespace', '')}_"), ("model.name", config["model"]["name"])):
        if value.startswith(DATASETS):
            yield Problem(
                f"{setting} of {name} begins with {DATASETS}, as names of smoke runs do", "give it another one"
            )
    if (config["runner"]["image"] == UNKNOWN) != bool(config["deploy"]["registry"]):
        yield Problem("set runner.image, by its digest, or deploy.registry, to which each deploy pushes", "not both")
