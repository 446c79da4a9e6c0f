"""What gcloud accepts and Composer's service rejects minutes later, or takes for something else.

The rules are those of Composer's API v1 (`SoftwareConfig`) and of Google's page "Set environment variables" of Cloud
Composer 3, read in November 2026.
"""

import re
from collections.abc import Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

# Folders of the environment's bucket on Airflow's machines; they sync one way.
MOUNTED = "/home/airflow/gcs"
RESERVED = frozenset(
    (
        *("AIRFLOW_DATABASE_VERSION", "AIRFLOW_HOME", "AIRFLOW_SRC_DIR", "AIRFLOW_WEBSERVER", "AUTO_GKE"),
        *("CLOUDSDK_METRICS_ENVIRONMENT", "CLOUD_LOGGING_ONLY", "COMPOSER_AGENT_BUILD_SERVICE_ACCOUNT"),
        *("COMPOSER_ENVIRONMENT", "COMPOSER_GKE_LOCATION", "COMPOSER_GKE_NAME", "COMPOSER_GKE_ZONE"),
        *("COMPOSER_LOCATION", "COMPOSER_OPERATION_UUID", "COMPOSER_PYTHON_VERSION", "COMPOSER_VERSION"),
        *("CONTAINER_NAME", "C_FORCE_ROOT", "DAGS_FOLDER", "GCE_METADATA_TIMEOUT", "GCP_PROJECT"),
        *("GCP_TENANT_PROJECT", "GCSFUSE_EXTRACTED", "GCS_BUCKET", "GKE_CLUSTER_NAME", "GKE_IN_TENANT"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "MAJOR_VERSION", "MINOR_VERSION", "PATH"),
        *("PIP_DISABLE_PIP_VERSION_CHECK", "PORT", "PROJECT_ID", "PYTHONPYCACHEPREFIX", "PYTHONWARNINGS"),
        *("REDIS_PASSWORD", "REDIS_PORT", "REDIS_USER", "SQL_DATABASE", "SQL_INSTANCE", "SQL_PASSWORD"),
        *("SQL_PROJECT", "SQL_REGION", "SQL_USER"),
    )
)
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OPTION_OF_AIRFLOW = re.compile(r"AIRFLOW__")
_SECTION = re.compile(r"[^-\[\].=;\s]+")
_KEY = re.compile(r"[a-z0-9_]+")
_PACKAGE = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")


def environment_variables(variables: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with environment variables, each with its remedy."""
    for name in sorted(variables):
        if _OPTION_OF_AIRFLOW.match(name):
            section, _, key = name.removeprefix("AIRFLOW__").lower().partition("__")
            yield f"environment variable {name}: Composer takes no such names: set the Airflow option {section}-{key}"
        elif not _VARIABLE.fullmatch(name):
            yield f"environment variable {name!r}: not a name: use letters, digits and _, and no digit at the beginning"
        elif name in RESERVED:
            yield f"environment variable {name}: reserved by Composer, which sets it itself: choose another name"


def airflow_options(options: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with overrides of Airflow's options, each with its remedy."""
    for name, value in sorted(options.items()):
        section, hyphen, key = name.partition("-")
        if not hyphen and "." in name:
            yield f"Airflow option {name}: write {name.replace('.', '-', 1)}, section and key with a hyphen"
        elif not hyphen or not _SECTION.fullmatch(section) or not _KEY.fullmatch(key):
            yield f"Airflow option {name!r}: not a name: write section-key, the key in lower case with _ between words"
        elif not value:
            yield f"Airflow option {name}: has no value: give one, or leave the option out"


def packages(lines: list[str]) -> Iterator[str]:
    """What is wrong with the lines of a list of packages, each with its remedy; comments are allowed."""
    seen: set[str] = set()
    for number, text in enumerate(lines, start=1):
        line = text.strip()
        if not line or line.startswith("#"):
            continue
        where = f"line {number}, {line!r}"
        if problem := _package(line):
            yield f"{where}: {problem}"
            continue
        name = canonicalize_name(Requirement(line).name)
        if name in seen:
            yield f"{where}: {name} is there twice: leave one line"
        seen.add(name)
    if not any(line.strip() and not line.strip().startswith("#") for line in lines):
        yield "the list is empty, which would remove every package from the environment: name at least one"


def _package(line: str) -> str:
    """What is wrong with a line that names a package, or an empty text."""
    if "--hash" in line:
        return "Composer takes no hashes: write NAME==VERSION"
    if line.startswith("-"):
        return "Composer takes no options of pip: name each package in a line of its own"
    if "://" in line or " @ " in line or line.startswith((".", "/")):
        return "Composer takes no addresses and no files: publish the package in an index, and write NAME==VERSION"
    if ";" in line:
        return "Composer takes no markers: leave out all from the semicolon on"
    if "#" in line:
        return "a comment needs a line of its own"
    try:
        name = Requirement(line).name
    except InvalidRequirement:
        return "not a requirement: write NAME, NAME==VERSION or NAME[EXTRA]>=VERSION"
    return "" if _PACKAGE.fullmatch(name) else f"names are in lower case: write {name.lower()}"
