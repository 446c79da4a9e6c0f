"""Settings of the DAGs and their operators: the merged config file, overridden by environment variables."""

import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource


def _project(dags: Path) -> Path:
    """The folder of config/ and great_expectations/: the repository, or the data folder of Composer's bucket."""
    data = dags.parent / "data"
    return data if (data / "config").is_dir() else dags.parents[1]


PROJECT = _project(Path(__file__).resolve().parents[1])
# The variable with the name of the application whose settings are read.
APPLICATION = "MLOPS_APPLICATION"
# The config files where MLOPS_CONFIG does not list them.
FILES = os.pathsep.join(
    (str(PROJECT / "config" / "base.yaml"), str(PROJECT / "config" / "applications" / "{application}.yaml"))
)
# Prefixes of variables that commands do not get, since they hold Airflow's secrets.
KEPT_FROM_COMMANDS = ("AIRFLOW", "_AIRFLOW", "PYTHON")


def config_files(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The config files; a later one counts more. `{application}` in a name stands for the current application."""
    files = environ.get("MLOPS_CONFIG") or FILES
    if "{application}" not in files:
        return files.split(os.pathsep)
    name = environ.get(APPLICATION) or _first_application(files.split(os.pathsep)[0])
    return files.replace("{application}", name).split(os.pathsep)


@contextmanager
def current(application: str) -> Generator[None]:
    """A block in which the settings are those of an application."""
    before = os.environ.get(APPLICATION)
    os.environ[APPLICATION] = application
    try:
        yield
    finally:
        del os.environ[APPLICATION]
        if before is not None:
            os.environ[APPLICATION] = before


def _first_application(file: str) -> str:
    with open(file, encoding="utf-8") as content:
        return yaml.safe_load(content)["applications"][0]


class Section(BaseModel):
    """A part of the settings; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _as_text(quantity: Any) -> Any:
    """YAML reads `1` as a number."""
    return str(quantity) if isinstance(quantity, int | float) else quantity


# A name of a table, and a part of names of schemas and graphs, in every warehouse.
NAME = "^[a-z][a-z0-9_]{0,39}$"
Name = Annotated[str, Field(pattern=NAME)]
# Columns that dataops and mlops add to those of the source.
ADDED = ("is_labeled", "probability", "model_version", "predicted_at")
# Checkpoints and tasks that every application has beside those of its source files.
RESERVED = ("predictions", "snapshot", "transforms")
# Folders of the artifacts of an application without a namespace, and of MLflow.
FOLDERS = ("mlflow", "models", "modules", "predictions", "snapshots", "studies")
# Types of a date.
DATES = ("timestamp", "timestamp_with_time_zone", "date", "epoch_seconds", "epoch_milliseconds")
# https://cloud.google.com/bigquery/docs/schemas#flexible-column-names
_NOT_ON_BIGQUERY = re.compile(r"[!\"$()*,./;?@\[\\\]^`{}~]")
# Bytes of a name in PostgreSQL, which cuts longer ones.
MAX_NAME = 63


class Column(Section):
    """A column of a source file, and what is expected of its values.

    Attributes:
        type: how values are loaded; `epoch_…` are numbers of seconds or milliseconds since 1970.
        required: whether each row needs a value; the id, the first text and a label in a file of its own always do.
        unique: whether a value may be in one row only; the id always is.
        min: the smallest number that is allowed.
        max: the largest one.
    """

    type: Literal[
        "text", "integer", "number", "boolean", "timestamp", "timestamp_with_time_zone", "date",
        "epoch_seconds", "epoch_milliseconds",
    ]  # fmt: skip
    required: bool = False
    unique: bool = False
    min: float | None = None
    max: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_type(cls, given: Any) -> Any:
        return {"type": given} if isinstance(given, str) else given


class Expectation(Section):
    """An expectation in the words of Great Expectations; `notes` says what to do if it is not met."""

    type: str = Field(pattern="^(expect_[a-z0-9_]+|unexpected_rows_expectation)$")
    kwargs: dict[str, Any] = {}
    description: str | None = None
    notes: str | None = None

    @property
    def columns(self) -> list[str]:
        """Names of the columns that it is about."""
        one = [self.kwargs[name] for name in ("column", "column_A", "column_B") if name in self.kwargs]
        return [*one, *self.kwargs.get("column_list", []), *self.kwargs.get("column_set", [])]


class Source(Section):
    """A source file: its name below `source`, options of its connector, its columns, bounds on its rows, and checks."""

    file: str = Field(min_length=1)
    options: dict[str, Any] = {}
    min_rows: int = Field(1, ge=0)
    max_rows: int | None = Field(None, ge=1)
    columns: dict[str, Column] = Field(min_length=1)
    expectations: list[Expectation] = []

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.max_rows is not None and self.max_rows < self.min_rows:
            raise ValueError(f"max_rows ({self.max_rows}) is less than min_rows ({self.min_rows})")
        folded = [name.lower() for name in self.columns]
        if twice := [name for name in self.columns if folded.count(name.lower()) > 1]:
            raise ValueError(f"columns: {' and '.join(twice)} differ in case only, and are one column for BigQuery")
        return self

    @model_validator(mode="after")
    def _expectations_are_about_its_columns(self) -> Self:
        for number, each in enumerate(self.expectations, start=1):
            if other := [name for name in each.columns if name not in self.columns]:
                raise ValueError(
                    f"expectations, number {number}, {each.type}: {other[0]!r} is not one of `columns`: "
                    f"{', '.join(self.columns)}"
                )
        return self


class Columns(Section):
    """What the columns of the source files are for; `config/applications/tagifai.yaml` explains each."""

    id: str | None
    texts: list[str] = Field(min_length=1)
    label: str
    date: str | None = None

    @property
    def key(self) -> str:
        """The column of the id; dbt makes one if the source has none."""
        return self.id or "id"


class Labels(Section):
    """Which labels the gates accept; only the model uses `classes` and `min_freq`."""

    known: list[str] | None
    classes: list[str] | None
    min_freq: int = Field(ge=1)
    rest: str = Field(min_length=1)
    separator: str | None = Field(min_length=1)
    several: Literal["first", "most_frequent", "stop"]


class Checks(Section):
    """Bounds of the Great Expectations suites, and how many results to keep."""

    min_labeled: int = Field(ge=0)
    min_distinct_labels: int = Field(ge=0)
    min_share_of_published: float = Field(ge=0, le=1)
    keep_results: int = Field(ge=1)


Kind = Literal["venv", "docker", "kubernetes", "gke"]
# A quantity of Kubernetes.
Cpu = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[0-9]+(\.[0-9]+)?m?$")]
Memory = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[0-9]+(\.[0-9]+)?([kMGT]|[KMGT]i)?$")]
Accelerators = dict[str, Annotated[int, Field(ge=1)]]
GPU = "nvidia.com/gpu"
_PUSH = (
    "`make images`, then `make image-push REGISTRY=host:port/name` prints the image's reference; set it as runner.image"
    " in a file given as CONFIG=… or in a place of your own (docs/places.md)"
)


class Toleration(Section):
    """A taint of nodes that a pod accepts, in Kubernetes' words."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class TaskRunner(Section):
    """What a single task has instead of the runner's own value."""

    type: Kind | None = None
    image: str | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    accelerators: Accelerators | None = None
    node_selector: dict[str, str] | None = None
    tolerations: list[Toleration] | None = None


class Docker(Section):
    """Where containers are attached."""

    network: str | None = None
    # `SOURCE:TARGET[:ro]`, SOURCE a named volume or an absolute path on the engine's machine.
    volumes: list[Annotated[str, Field(pattern=r"^[^:]+:/[^:]+(:ro|:rw)?$")]] = []
    # Paths in Airflow's own container.
    inherit: list[Annotated[str, Field(pattern=r"^/")]] = []


class Kubernetes(Section):
    """Where pods run and as whom; `config/base.yaml` explains each value."""

    namespace: str = "default"
    kubeconfig: str | None = None
    context: str | None = None
    service_account: str | None = None
    secret: str | None = None
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    claim: str | None = None
    user: int | None = Field(None, ge=1)
    host_network: bool = False
    deferrable: bool = False


class Gke(Section):
    """The cluster of Google Kubernetes Engine."""

    project: str
    location: str
    cluster: str


class Runner(Section):
    """Where commands run; the sections `docker`, `kubernetes` and `gke` are read by those types only.

    For `venv` each environment is the folder `root`/NAME, and the working directory is `project`. `instance` is a label
    of pods and containers, by which they differ from those of another Airflow in the namespace or on the engine.
    """

    type: Kind = "venv"
    start_timeout: float = Field(600, gt=0)
    retries: int = Field(2, ge=0)
    retry_delay: float = Field(5, ge=0)
    image: str | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    accelerators: Accelerators = {}
    tasks: dict[str, TaskRunner] = {}
    docker: Docker = Docker()
    kubernetes: Kubernetes = Kubernetes()
    gke: Gke | None = None
    instance: str | None = Field(None, pattern="^[a-z0-9]{1,63}$")
    root: Path = PROJECT / "var" / "env"
    project: Path = PROJECT

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for where, own in {
            "": TaskRunner(),
            **{f" of tasks.{name}": each for name, each in self.tasks.items()},
        }.items():
            kind, image = own.type or self.type, own.image or self.image
            if kind == "docker" and not image:
                raise ValueError(f"the type {kind}{where} needs an image: set runner.image")
            if kind in ("kubernetes", "gke") and not re.search("@sha256:[0-9a-f]{64}$", image or ""):
                raise ValueError(f"the image{where} must be given by its digest, NAME@sha256:…, not {image!r}. {_PUSH}")
            if kind == "docker" and (other := {*(own.accelerators or self.accelerators)} - {GPU}):
                raise ValueError(f"the type docker{where} knows no accelerator but {GPU}, not {', '.join(other)}")
            if kind == "gke" and not self.gke:
                raise ValueError(f"the type gke{where} needs runner.gke: project, location and cluster")
        return self

    def of(self, task_id: str) -> Self:
        """The runner of a task: its overrides from `tasks` are applied."""
        own = self.tasks.get(task_id, TaskRunner())
        nodes = {name: value for name in ("node_selector", "tolerations") if (value := getattr(own, name)) is not None}
        names = ("type", "image", "cpu", "memory", "accelerators")
        top = {name: value for name in names if (value := getattr(own, name)) is not None}
        return self.model_copy(update=top | {"kubernetes": self.kubernetes.model_copy(update=nodes)})


class Types(NamedTuple):
    """Names of a column's type as Great Expectations finds them: the warehouse's, and last that in a Parquet file."""

    integer: tuple[str, ...]
    number: tuple[str, ...]
    timestamp: tuple[str, ...]
    timestamp_with_time_zone: tuple[str, ...]
    date: tuple[str, ...]
    text: tuple[str, ...]
    boolean: tuple[str, ...]


class Postgres(Section):
    """The PostgreSQL database that the checkpoints read."""

    type: Literal["postgres"]
    host: str
    port: int = Field(ge=1, le=65535)
    database: str
    user: str
    password: SecretStr

    @property
    def types(self) -> Types:
        """The types of columns that the suites expect."""
        return Types(
            integer=("BIGINT", "Int64Dtype"),
            number=("NUMERIC", "Float64Dtype"),
            timestamp=("TIMESTAMP WITHOUT TIME ZONE", "datetime64[us]"),
            timestamp_with_time_zone=("TIMESTAMP WITH TIME ZONE", "datetime64[us, UTC]"),
            date=("DATE", "date32[day]"),
            text=("TEXT", "StringDtype"),
            boolean=("BOOLEAN", "BooleanDtype"),
        )


# https://cloud.google.com/bigquery/docs/labels-intro#requirements
_LABEL = r"[\p{Ll}\p{Lo}\p{N}_-]"
LabelKey = Annotated[str, Field(pattern=rf"^[\p{{Ll}}\p{{Lo}}]{_LABEL}{{0,62}}$")]
LabelValue = Annotated[str, Field(pattern=rf"^{_LABEL}{{0,63}}$")]


class BigQuery(Section):
    """The BigQuery project that the checkpoints read.

    Attributes:
        location: region of all datasets and jobs.
        prefix: in front of the name of each dataset; Great Expectations asks for names in small letters only.
        maximum_bytes_billed: bytes that a query may read; BigQuery refuses a larger one.
        job_timeout: seconds after which a query is ended.
        keyfile: key of a service account; None: the default credentials of this machine.
        impersonate: e-mail address of the service account to act as.
        labels: of every job.
        storage_api: not used here; results are small and come by the REST API.
    """

    type: Literal["bigquery"]
    project: str = Field(pattern="^[a-z][a-z0-9-]*$")
    location: str = Field(min_length=1)
    prefix: str = Field("", pattern="^[a-z0-9_]*$", max_length=63)
    maximum_bytes_billed: int = Field(ge=1)
    job_timeout: int = Field(ge=1)
    keyfile: str | None = None
    impersonate: str | None = None
    labels: dict[LabelKey, LabelValue] = {}
    storage_api: str | None = None

    @property
    def types(self) -> Types:
        """The types of columns that the suites expect."""
        return Types(
            integer=("INT64", "Int64Dtype"),
            # NUMERIC is that of another Airbyte.
            number=("BIGNUMERIC", "NUMERIC", "Float64Dtype"),
            timestamp=("DATETIME", "datetime64[us]"),
            timestamp_with_time_zone=("TIMESTAMP", "datetime64[us, UTC]"),
            date=("DATE", "date32[day]"),
            text=("STRING", "StringDtype"),
            boolean=("BOOL", "BooleanDtype"),
        )


Warehouse = Annotated[Postgres | BigQuery, Field(discriminator="type")]


BaseUrl = Annotated[str, Field(pattern="^https?://"), AfterValidator(lambda url: url.rstrip("/"))]


class Links(Section):
    """Base URLs of the other UIs for a browser, None if there is none; `docs` is the home page's."""

    mlflow: BaseUrl | None = None
    airbyte: BaseUrl | None = None
    docs: BaseUrl | None = None

    @property
    def data_docs(self) -> str | None:
        """The data docs of all applications, each in the folder of its name."""
        return self.docs and f"{self.docs}/data-docs/"

    @property
    def dbt_docs(self) -> str | None:
        """The documentation of dbt for all applications, each in the folder of its name."""
        return self.docs and f"{self.docs}/dbt-docs/"


class Watch(Section):
    """How many `seconds` lie between two checks of the source; None: no watch."""

    seconds: float | None = Field(gt=0)


class Search(BaseModel):
    """The part of the search that shapes the graph or its smoke run."""

    workers: int = Field(ge=1, le=16)


class Model(BaseModel):
    """The registered model."""

    name: str


class Application(BaseModel):
    """What config/applications/NAME.yaml says, and the names of tables and graphs that follow from it."""

    application: Name
    namespace: str = Field("", pattern=f"{NAME}|^$")
    source: str
    sources: dict[Name, Source] = Field(min_length=1, max_length=2)
    columns: Columns
    labels: Labels
    equal_texts: Literal["stop", "first", "all"]

    @model_validator(mode="after")
    def _columns_are_in_the_sources(self) -> Self:
        first, columns = next(iter(self.sources)), self.columns
        for name in [*columns.texts, *filter(None, [columns.date])]:
            if name not in self.sources[first].columns:
                raise ValueError(f"columns: {name!r} is not a column of sources.{first}")
        self._types_fit(self.sources[first])
        labelled = [name for name, source in self.sources.items() if columns.label in source.columns]
        if not labelled or (len(self.sources) > 1 and labelled != [list(self.sources)[1]]):
            where = list(self.sources)[-1]
            raise ValueError(f"columns.label: {columns.label!r} must be a column of sources.{where}, and of it alone")
        if len(self.sources) > 1 and not columns.id:
            raise ValueError("columns.id: two source files need a column with the id, which joins them")
        for name, source in self.sources.items():
            if columns.id and columns.id not in source.columns:
                raise ValueError(f"columns.id: {columns.id!r} is not a column of sources.{name}")
        if taken := [name for name in self.sources if name in (*RESERVED, self.labeled, self.to_predict)]:
            raise ValueError(f"sources: {taken[0]} is the name of another table or check: give it another name")
        if f"{self.namespace}_".startswith("pg_"):
            raise ValueError("namespace: PostgreSQL keeps names that begin with pg_ for itself: give it another name")
        if self.namespace in FOLDERS:
            raise ValueError(f"namespace: {self.namespace} is the name of a folder of artifacts: give it another name")
        named = [name for source in self.sources.values() for name in source.columns]
        if long := [name for name in named if len(name.encode()) > MAX_NAME]:
            raise ValueError(f"sources: the column {long[0]!r} has a name of more than {MAX_NAME} bytes: shorten it")
        if quoted := [name for name in named if '"' in name]:
            raise ValueError(f"sources: the column {quoted[0]!r} has a double quote in its name: rename it")
        roles = [columns.key, *columns.texts, columns.label, *filter(None, [columns.date])]
        if twice := [name for name in roles if roles.count(name) > 1]:
            raise ValueError(f"columns: {twice[0]!r} has two purposes")
        if taken := [name for name in roles if name.lower() in ADDED]:
            raise ValueError(f"columns: {taken[0]!r} is the name of a column that is added: rename it in the source")
        return self

    def _types_fit(self, first: Source) -> None:
        """Refuse types that a purpose does not allow."""
        columns, types = self.columns, {name: each.type for name, each in first.columns.items()}
        for name in columns.texts:
            if types[name] != "text":
                raise ValueError(f"columns.texts: {name!r} must be of type text in sources.{self.items}")
        if columns.date and types[columns.date] not in DATES:
            raise ValueError(f"columns.date: {columns.date!r} must be of one of the types {', '.join(DATES)}")
        for name, source in self.sources.items():
            if columns.label in source.columns and source.columns[columns.label].type != "text":
                raise ValueError(f"columns.label: {columns.label!r} must be of type text in sources.{name}")
        keys = {source.columns[columns.id].type for source in self.sources.values() if columns.id in source.columns}
        if len(keys) > 1 or keys - {"text", "integer"}:
            raise ValueError(f"columns.id: {columns.id!r} must be of type text, or integer, in all sources")

    @property
    def items(self) -> str:
        """Name of the source with the texts, and a part of the names of the published tables."""
        return next(iter(self.sources))

    @property
    def files(self) -> list[str]:
        """Names of the source files below `source`."""
        return [each.file for each in self.sources.values()]

    @property
    def labeled(self) -> str:
        """Name of the table of the rows with a label."""
        return f"labeled_{self.items}"

    @property
    def to_predict(self) -> str:
        """Name of the table of all rows."""
        return f"{self.items}_to_predict"

    @property
    def prefix(self) -> str:
        """In front of the names of the application's schemas and connections."""
        return f"{self.namespace}_" if self.namespace else ""

    @property
    def suffix(self) -> str:
        """Behind the names of the application's graphs and assets."""
        return f"_{self.namespace}" if self.namespace else ""

    @property
    def tables(self) -> dict[str, dict[str, str]]:
        """The tables by name: those that syncs `loaded`, and those that are `published` for others."""
        marts = f"{self.prefix}marts"
        return {
            "loaded": {name: f"{self.prefix}raw.{name}" for name in self.sources},
            "published": {name: f"{marts}.{name}" for name in (self.labeled, self.to_predict, "predictions")},
        }

    def table_of(self, checkpoint: str) -> str:
        """The table, as schema.table, that a checkpoint of a table reads."""
        return f"{self.prefix}{'raw' if checkpoint in self.sources else 'candidate'}.{checkpoint}"


class Settings(Application, BaseSettings):
    """All settings of the graphs of one application and their checkpoints.

    Which one it is, MLOPS_APPLICATION says; without it, the first of `applications`.
    """

    model_config = SettingsConfigDict(
        env_prefix="MLOPS_", env_nested_delimiter="__", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    applications: list[Name] = Field(min_length=1)
    dataops_schedule: str | None
    watch: Watch
    checks: Checks
    search: Search
    model: Model
    runner: Runner = Runner()
    links: Links = Links()
    var: Path = PROJECT / "var"
    # Missing where DAG files are only parsed.
    warehouse: Warehouse | None = None
    # Root of validation results and data docs if it is a bucket, gs://…; in a folder, these are below `var`.
    artifacts: str | None = None

    @model_validator(mode="after")
    def _warehouse_can_have_the_columns(self) -> Self:
        named = [name for source in self.sources.values() for name in source.columns]
        wrong = [name for name in named if _NOT_ON_BIGQUERY.search(name)]
        if isinstance(self.warehouse, BigQuery) and wrong:
            raise ValueError(
                f"sources: BigQuery has no columns such as {wrong[0]!r}: rename it, without any of "
                r'! " $ ( ) * , . / ; ? @ [ \ ] ^ ` { } ~'
            )
        return self

    @property
    def bucket(self) -> str | None:
        """The artifact root if it is in a bucket."""
        return self.artifacts.rstrip("/") if self.artifacts and self.artifacts.startswith("gs://") else None

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment variables first, then the config files; a later one counts more."""
        merged = YamlConfigSettingsSource(settings_cls, yaml_file=config_files(), deep_merge=True)
        return named["init_settings"], named["env_settings"], merged

    def task_environment(self) -> dict[str, str]:
        """Environment variables of a task's command; its output is unbuffered, since it is the task's log."""
        passed_on = {name: value for name, value in os.environ.items() if not name.startswith(KEPT_FROM_COMMANDS)}
        return passed_on | {"PYTHONUNBUFFERED": "1"}
