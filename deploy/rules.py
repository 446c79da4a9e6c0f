"""What gcloud accepts and Composer's service rejects minutes later, or takes for something else.

The rules are those of Composer's API v1 (`SoftwareConfig`) and of Google's pages "Set environment variables" of Cloud
Composer 3 and "Airflow configurations", read in November 2026; of the latter's blocked options only the first could be
read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from deploy.problem import Problem

# Folders of the environment's bucket on Airflow's machines; they sync one way.
MOUNTED = "/home/airflow/gcs"
RESERVED = frozenset(
    (
        *("AIRFLOW_DATABASE_VERSION", "AIRFLOW_HOME", "AIRFLOW_SRC_DIR", "AIRFLOW_WEBSERVER", "AUTO_GKE"),
        *("CLOUDSDK_METRICS_ENVIRONMENT", "CLOUD_LOGGING_ONLY", "COMPOSER_AGENT_BUILD_SERVICE_ACCOUNT"),
        *(
            "COMPOSER_ENVIRONMENT",
            "COMPOSER_ENVIRONMENT_SIZE",
            "COMPOSER_GKE_LOCATION",
            "COMPOSER_GKE_NAME",
            "COMPOSER_GKE_ZONE",
        ),
        *("COMPOSER_LOCATION", "COMPOSER_OPERATION_UUID", "COMPOSER_PYTHON_VERSION", "COMPOSER_VERSION"),
        *("CONTAINER_NAME", "C_FORCE_ROOT", "DAGS_FOLDER", "GCE_METADATA_TIMEOUT", "GCP_PROJECT"),
        *("GCP_TENANT_PROJECT", "GCSFUSE_EXTRACTED", "GCS_BUCKET", "GKE_CLUSTER_NAME", "GKE_IN_TENANT"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "MAJOR_VERSION", "MINOR_VERSION", "PATH"),
        *("PIP_DISABLE_PIP_VERSION_CHECK", "PORT", "PROJECT_ID", "PYTHONPYCACHEPREFIX", "PYTHONWARNINGS"),
        *("REDIS_PASSWORD", "REDIS_PORT", "REDIS_USER", "SQL_DATABASE", "SQL_INSTANCE", "SQL_PASSWORD"),
        *("SQL_PROJECT", "SQL_REGION", "SQL_USER"),
    )
)
# Airflow's options that Composer 3 takes within bounds only: the smallest and the greatest value, or None.
LIMITED = {
    "celery-worker_concurrency": (1, 24),
    "core-dag_file_processor_timeout": (None, 600),
    "core-dagbag_import_timeout": (None, 600),
    "core-min_file_process_interval": (30, None),
    "kubernetes_executor-worker_pods_queued_check_interval": (30, 60),
    "scheduler-scheduler_heartbeat_sec": (15, None),
    "triggerer-job_heartbeat_sec": (30, None),
    "triggerer-triggerer_health_check_threshold": (30, None),
}
# Options, and sections, that it does not take at all.
BLOCKED = frozenset(
    ("cli", *(f"api_auth-{name}" for name in ("jwt_algorithm", "jwt_audience", "jwt_issuer", "jwt_kid")))
)
# Folders of data/ in which deploys keep their own.
OURS = ("mlops-manifests", "smoke")
_PATTERN = re.compile(r"[*?\[\]#\\\x00-\x1f\x7f]")
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SECTION = re.compile(r"[^-\[\].=;\s]+")
_KEY = re.compile(r"[a-z0-9_]+")
_ADDRESS = Problem(
    "Composer takes no addresses and no files", "publish the package in an index, and write NAME==VERSION"
)
_PACKAGE = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")


def files(paths: Iterable[str]) -> Iterator[Problem]:
    """What is wrong with paths of files in an environment's bucket."""
    for path in sorted(paths):
        where, parts = f"file {path!r}", path.split("/")
        if any("\ud800" <= each <= "\udfff" for each in path):
            yield Problem(f"{where}: not UTF-8, as names in a bucket are", "give it another name")
        elif _PATTERN.search(path):
            yield Problem(f"{where}: gcloud takes * ? [ ] # and \\ for patterns and versions", "give it another name")
        elif len(parts) < 2 or parts[0] not in ("dags", "plugins", "data") or {"", ".", ".."} & set(parts):
            yield Problem(f"{where}: not below dags/, plugins/ or data/", "make the bundle again")
        elif parts[0] == "data" and (len(parts) == 2 or parts[1] in OURS):
            yield Problem(f"{where}: data/ itself and {', '.join(OURS)} hold other things", "use a folder of its own")


def environment_variables(variables: Mapping[str, str]) -> Iterator[Problem]:
    """What is wrong with environment variables."""
    for name in sorted(variables):
        where = f"environment variable {name!r}"
        if name.startswith("AIRFLOW__"):
            section, _, key = name.removeprefix("AIRFLOW__").lower().partition("__")
            yield Problem(f"{where}: Composer takes no such names", f"set the Airflow option {section}-{key}")
        elif not _VARIABLE.fullmatch(name):
            yield Problem(f"{where}: not a name", "use letters, digits and _, and no digit at the beginning")
        elif name in RESERVED:
            yield Problem(f"{where}: reserved by Composer, which sets it itself", "choose another name")


def airflow_options(options: Mapping[str, str]) -> Iterator[Problem]:
    """What is wrong with overrides of Airflow's options."""
    for name, value in sorted(options.items()):
        where = f"Airflow option {name!r}"
        section, hyphen, key = name.partition("-")
        if not hyphen and "." in name:
            yield Problem(f"{where}: not a name", f"write {name.replace('.', '-', 1)}, with a hyphen")
        elif not hyphen or not _SECTION.fullmatch(section) or not _KEY.fullmatch(key):
            yield Problem(f"{where}: not a name", "write section-key, the key in lower case with _ between words")
        elif not value:
            yield Problem(f"{where}: has no value", "give one, or leave the option out")
        elif {section, name} & BLOCKED:
            yield Problem(f"{where}: blocked by Composer, which sets it itself", "leave it out")
        elif name in LIMITED and not _is_within(value, *LIMITED[name]):
            bounds = zip(("at least", "at most"), LIMITED[name], strict=True)
            told = " and ".join(f"{words} {bound}" for words, bound in bounds if bound is not None)
            yield Problem(f"{where}: {value}, but Composer takes {told}", "change it, or leave it out")


def _is_within(value: str, least: int | None, most: int | None) -> bool:
    try:
        number = float(value)
    except ValueError:
        return False
    return (least is None or number >= least) and (most is None or number <= most)


def packages(lines: list[str]) -> Iterator[Problem]:
    """What is wrong with the lines of a list of packages; comments are allowed."""
    given = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip() and line.strip()[0] != "#"}
    seen: set[str] = set()
    for number, line in given.items():
        problem = _package(line)
        if not problem:
            name = canonicalize_name(Requirement(line).name)
            problem = Problem(f"{name} is there twice", "leave one line") if name in seen else None
            seen.add(name)
        if problem:
            yield problem.at(f"line {number}, {line!r}")
    if not given:
        yield Problem("the list is empty, which would remove every package from the environment", "name at least one")


def _package(line: str) -> Problem | None:
    """What is wrong with a line that names a package."""
    if "--hash" in line:
        return Problem("Composer takes no hashes", "write NAME==VERSION")
    if line.startswith("-"):
        return Problem("Composer takes no options of pip", "name each package in a line of its own")
    if "://" in line or line.startswith((".", "/")):
        return _ADDRESS
    if ";" in line:
        return Problem("Composer takes no markers", "leave out all from the semicolon on")
    if "#" in line:
        return Problem("a comment cannot follow a package", "give it a line of its own")
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return Problem("not a requirement", "write NAME, NAME==VERSION or NAME[EXTRA]>=VERSION")
    if requirement.url:
        return _ADDRESS
    if not _PACKAGE.fullmatch(requirement.name):
        return Problem("names are in lower case", f"write {requirement.name.lower()}")
    return None
