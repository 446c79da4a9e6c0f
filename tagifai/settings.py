"""All settings of tagifai: the merged config file, overridden by environment variables MLOPS_…."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from tagifai.errors import TagifaiError

BASE_CONFIG = Path(__file__).resolve().parents[1] / "config" / "base.yaml"
APPLICATIONS = BASE_CONFIG.parent / "applications"
# Variables that libraries read when they are imported: MLflow sends no usage statistics and logs only warnings; linear
# algebra uses one thread, because several take three times as long on the small matrices of the calibration.
LIBRARY_ENVIRONMENT = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "OMP_NUM_THREADS": "1",
}
# Columns of the predictions beside those of the source.
OUR_COLUMNS = {"is_labeled", "probability", "model_version", "predicted_at"}
# Name of the slice of short texts.
SHORT_TEXT = "short_text"


class Section(BaseModel):
    """A part of the settings; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Postgres(Section):
    """The PostgreSQL database whose schema marts has the published tables."""

    type: Literal["postgres"]
    host: str
    port: int = Field(ge=1, le=65535)
    database: str
    user: str
    password: SecretStr


class BigQuery(Section):
    """The BigQuery project whose dataset `prefix`marts has the published tables.

    Attributes:
        location: region of all datasets and jobs.
        prefix: in front of the name of each dataset.
        maximum_bytes_billed: bytes that a job may read; BigQuery refuses a larger one.
        job_timeout: seconds after which a job is ended.
        keyfile: key of a service account; None: the default credentials of this machine.
        impersonate: e-mail address of the service account to act as.
        labels: of every job, dataset and table.
        storage_api: host:port of a Storage Read API without TLS, which an emulator has; None: Google's.
    """

    type: Literal["bigquery"]
    project: str = Field(min_length=1)
    location: str = Field(min_length=1)
    prefix: str = Field("", pattern="^[a-z0-9_]*$")
    maximum_bytes_billed: PositiveInt
    job_timeout: PositiveInt
    keyfile: str | None = None
    impersonate: str | None = None
    labels: dict[str, str] = {}
    storage_api: str | None = None


Warehouse = Annotated[Postgres | BigQuery, Field(discriminator="type")]


class Columns(Section):
    """What the columns of the source are for, by their names.

    Attributes:
        id: the key; None: the source has none, and dataops makes one named `id`.
        texts: what the model reads, in this order; only the first must be filled in each row.
        label: what the model learns.
        date: of the row; None: it has none.
    """

    id: str | None
    texts: Annotated[tuple[str, ...], Field(min_length=1)]
    label: str
    date: str | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        # As BigQuery compares them.
        names = [each.casefold() for each in (self.key, *self.texts, self.label, *([self.date] if self.date else []))]
        if twice := sorted({each for each in names if names.count(each) > 1}):
            raise ValueError(f"{', '.join(twice)} is named twice: a column is for one thing")
        if ours := sorted(OUR_COLUMNS & {self.key.casefold(), self.texts[0].casefold(), self.label.casefold()}):
            raise ValueError(f"{', '.join(ours)} is a column of the predictions: rename that of the source")
        return self

    @property
    def key(self) -> str:
        """The column of the id, also if the source has none."""
        return self.id or "id"


class Labels(Section):
    """Which labels are classes; only the gate uses `known`."""

    known: tuple[str, ...] | None
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None
    min_freq: int = Field(ge=1)
    rest: Annotated[str, Field(min_length=1)]
    separator: Annotated[str, Field(min_length=1)] | None
    several: Literal["first", "most_frequent", "stop"]


class Split(Section):
    """How held-out rows are chosen."""

    test_size: float = Field(gt=0, lt=1)
    seed: int


class Space(Section):
    """Values that a trial chooses from, and the range of `c`."""

    title_repeats: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    word_ngram_max: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    char_ngram_max: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)]
    max_df: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)]
    word_max_features: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    char_max_features: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    c: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]

    @model_validator(mode="after")
    def _c_is_a_range(self) -> Self:
        if self.c[0] > self.c[1]:
            raise ValueError(f"c must be [lowest, highest], not {list(self.c)}")
        return self


class Search(Section):
    """The Optuna study; `workers` processes share its trials.

    Attributes:
        minutes: a worker's time from its first complete trial to its last one; None: no limit.
    """

    trials: PositiveInt
    minutes: Annotated[float, Field(gt=0)] | None
    workers: int = Field(ge=1, le=16)
    folds: int = Field(ge=3)
    seed: int = Field(ge=0)
    space: Space

    @model_validator(mode="after")
    def _every_worker_has_a_trial(self) -> Self:
        if self.trials < self.workers:
            raise ValueError(f"trials ({self.trials}) must not be fewer than workers ({self.workers})")
        return self


def parts_of_module(module: str) -> tuple[str, str]:
    """URI and hash of a module, from URI#sha256=HASH.

    Raises:
        ValueError: it has no hash, or one of another form.
    """
    uri, separator, sha256 = module.rpartition("#sha256=")
    if not (uri and separator):
        raise ValueError("its hash is missing: append #sha256= and the 64 digits that `sha256sum FILE` prints")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"its hash has another form, {sha256!r}: write the 64 digits that `sha256sum FILE` prints")
    return uri, sha256


def _with_hash(module: str) -> str:
    parts_of_module(module)
    return module


class Train(Section):
    """A module that makes the model in place of our own, and how many environments of modules are kept."""

    module: Annotated[str, AfterValidator(_with_hash)] | None
    keep_environments: PositiveInt


def _as_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression of Python: {error}") from None
    return pattern


class Slices(Section):
    """The evaluation's slices.

    Attributes:
        short_text_words: words from which on a text is not short.
        short_text_characters: the same for characters of scripts without spaces between words.
        patterns: regular expressions by the name of the slice whose texts they are found in.
    """

    short_text_words: PositiveInt
    short_text_characters: PositiveInt
    patterns: dict[str, Annotated[str, AfterValidator(_as_pattern)]]

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        if SHORT_TEXT in self.patterns:
            raise ValueError(f"patterns must not have the name {SHORT_TEXT}, which is a slice already")
        return self


def _as_registrable(name: str) -> str:
    """Refuse what MLflow's registry does not take, or what it takes and then cannot find or load by models:/NAME."""
    if (
        not 1 <= len(name) <= 256
        or re.search(r"""[/:#?@%'"]""", name)
        or not name.isprintable()
        or name != name.strip(" .")
    ):
        raise ValueError(
            f"MLflow cannot register or load a model named {name[:300]!r}: use 1 to 256 visible characters, none of "
            "/ : # ? @ % ' \", and no space or dot at either end"
        )
    return name


class Model(Section):
    """The registered model."""

    name: Annotated[str, AfterValidator(_as_registrable)]


class Settings(BaseSettings):
    """The settings of every command.

    Attributes:
        namespace: of the application, in front of the names of its schemas; "": none.
        sources: the source files by the names of their tables; the first has the texts.
        artifacts: root of snapshots and models: a folder or any URL that fsspec knows; with a folder per namespace.
        var: folder of this machine, where the environments of modules are.
        mlflow: MLflow's tracking URI.
        studies: SQLAlchemy URL of Optuna's PostgreSQL database.
        equal_texts: what happens if rows have the same texts; `stop`: the gate refuses them.
        threshold: probability below which the answer is `labels.rest`; 0 switches it off.
        git_revision: commit of the code, if it runs outside a git checkout.
    """

    model_config = SettingsConfigDict(
        env_prefix="MLOPS_", env_nested_delimiter="__", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    namespace: str = Field("", pattern="^([a-z][a-z0-9_]*)?$")
    sources: Annotated[dict[str, Any], Field(min_length=1)]
    columns: Columns
    warehouse: Warehouse
    artifacts: Annotated[str, AfterValidator(lambda root: root.rstrip("/"))]
    var: Path = BASE_CONFIG.parents[1] / "var"
    mlflow: str
    studies: SecretStr
    labels: Labels
    equal_texts: str
    split: Split
    search: Search
    train: Train
    threshold: float = Field(ge=0, lt=1)
    slices: Slices
    model: Model
    git_revision: str | None = None

    @property
    def labeled(self) -> str:
        """The published table of the rows with a label."""
        return f"{self._marts}.labeled_{self._items}"

    @property
    def to_predict(self) -> str:
        """The published table of all rows."""
        return f"{self._marts}.{self._items}_to_predict"

    @property
    def predictions(self) -> str:
        """The published table of the predictions."""
        return f"{self._marts}.predictions"

    @property
    def _marts(self) -> str:
        return f"{self.namespace}_marts" if self.namespace else "marts"

    @property
    def _items(self) -> str:
        return next(iter(self.sources))

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment variables first, then the config file."""
        file = YamlConfigSettingsSource(settings_cls, yaml_file=_config_files(), deep_merge=True)
        return named["init_settings"], named["env_settings"], file


def load() -> Settings:
    """Read the settings from the environment and the config files that MLOPS_CONFIG lists.

    Where it is not set, these are config/base.yaml and the application's file.

    Raises:
        TagifaiError: a file or setting is missing, unknown or out of range; the message names each.
    """
    for file in _config_files():
        # In a pod all settings are variables, and the image may not have the application's file.
        if "MLOPS_CONFIG" in os.environ and not file.is_file():
            raise TagifaiError(f"config file {file} does not exist: set MLOPS_CONFIG to one that does")
    files = " and ".join(map(str, _config_files()))
    try:
        settings = Settings()
    except ValidationError as error:
        problems = [f"{_named(each['loc'])}: {each['msg']}" for each in error.errors()]
        remedy = f"correct {files} or the environment variables MLOPS_…"
        raise TagifaiError(f"wrong settings: {'; '.join(problems)}; {remedy}") from None
    except SettingsError as error:
        raise TagifaiError(f"wrong environment variable: {error}") from None
    except yaml.YAMLError as error:
        raise TagifaiError(f"{files} is not YAML: {error}") from None
    # The launcher sets what is empty in config/.
    if lacking := [name for name in ("artifacts", "mlflow") if not getattr(settings, name)]:
        raise TagifaiError(f"wrong settings: {', '.join(lacking)}: not set; set the environment variables MLOPS_…")
    if settings.namespace:
        settings = settings.model_copy(update={"artifacts": f"{settings.artifacts}/{settings.namespace}"})
    return settings


def prepare_libraries() -> None:
    """Set the environment variables of libraries; call it before they are imported."""
    os.environ.update(LIBRARY_ENVIRONMENT)


def _config_files() -> list[Path]:
    """The config files; a later one counts more. `{application}` in a name stands for MLOPS_APPLICATION."""
    default = os.pathsep.join(map(str, (BASE_CONFIG, APPLICATIONS / "{application}.yaml")))
    files = os.environ.get("MLOPS_CONFIG") or default
    return [Path(file) for file in files.replace("{application}", _application()).split(os.pathsep)]


def _application() -> str:
    return os.environ.get("MLOPS_APPLICATION") or "tagifai"


def _named(location: tuple[int | str, ...]) -> str:
    # Pydantic puts the type of a warehouse behind `warehouse`, where it is no part of a name.
    return ".".join(str(part) for part in location if part not in ("postgres", "bigquery"))
