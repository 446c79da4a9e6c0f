"""Environment variables and command lines of the processes of the stack."""

import json
import os
from collections.abc import Mapping

from stack.settings import ENVIRONMENTS, ROOT, Settings, identity, inherited_environment

# The locked environments beside the application's own; the Makefile and docker/Dockerfile make them.
NAMES = ("stack", "airflow", "dbt", "airbyte")
# The caller's login for an MLflow server elsewhere.
MLFLOW_LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
DAGS = str(ROOT / "airflow" / "dags")
# Path that answers 2xx while a service works.
HEALTH = {
    "airflow": "/api/v2/monitor/health",
    "mlflow": "/health",
    "airbyte": "/api/public/v1/health",
    "docs": "/health",
    "bigquery": "/healthz",
    "storage": "/_internal/healthcheck",
}
# MLflow's page of all experiments in its view for model training; it opens in the one for GenAI otherwise.
MLFLOW_PAGE = "/#/experiments?workflowType=machine_learning"
# The web pages that the home page lists: service, path, name, purpose.
WEB_PAGES = (
    ("airflow", "", "Airflow", "runs and their tasks"),
    ("mlflow", MLFLOW_PAGE, "MLflow", "experiments, models and the champion"),
    ("airbyte", "", "Airbyte", "connections, syncs and their logs"),
)


def names(settings: Settings) -> tuple[str, ...]:
    """Names of all locked environments that an instance uses."""
    return (*NAMES, settings.config["package"], *(["emulators"] if settings.is_emulated else []))


def common_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of every process of the embedded stack; none is a secret."""
    inherited = inherited_environment()
    own = own_environment(settings) | {"MLOPS_RUNNER__INSTANCE": identity(settings.var)}
    return inherited | without_proxy(inherited) | own


def without_proxy(given: Mapping[str, str], *hosts: str) -> dict[str, str]:
    """Variables by which services reach each other directly, here and on `hosts`, whatever proxy the caller uses."""
    others = given.get("NO_PROXY") or given.get("no_proxy")
    direct = ",".join(filter(None, (others, "127.0.0.1", "localhost", *hosts)))
    return {"NO_PROXY": direct, "no_proxy": direct}


def own_environment(settings: Settings) -> dict[str, str]:
    """Environment variables that the stack gives to each of its processes; none is a secret."""
    return {
        # Nothing calls home.
        "DO_NOT_TRACK": "1",
        "SCARF_ANALYTICS": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # A process that sets its title would overwrite its environment, by which an instance finds its processes.
        "SPT_NOENV": "1",
        "MLOPS_VAR": str(settings.var),
        "MLOPS_CONFIG": os.pathsep.join(map(str, settings.config_files)),
        "MLOPS_APPLICATION": settings.application,
        "MLOPS_APPLICATIONS": json.dumps(list(settings.configs)),
        **({"MLOPS_SOURCE": source} if (source := settings.mounted_source) else {}),
        "MLOPS_ARTIFACTS": settings.artifacts,
        "MLOPS_MLFLOW": settings.config["mlflow"] or settings.url("mlflow"),
        "MLOPS_RUNNER__ROOT": str(ENVIRONMENTS),
        "MLOPS_RUNNER__PROJECT": str(ROOT),
        **google_environment(settings),
    }


def google_environment(settings: Settings) -> dict[str, str]:
    """Environment variables by which Google's clients find the emulators or the key file that is set, if any."""
    if not settings.is_emulated:
        keyfile = settings.config["warehouse"].get("keyfile")
        return {"GOOGLE_APPLICATION_CREDENTIALS": keyfile} if keyfile else {}
    return {
        "BIGQUERY_EMULATOR_HOST": settings.url("bigquery"),
        "STORAGE_EMULATOR_HOST": settings.url("storage"),
        # Made on this machine; the emulator takes any.
        "GOOGLE_APPLICATION_CREDENTIALS": str(settings.emulator_key),
        "GOOGLE_CLOUD_PROJECT": settings.config["warehouse"].get("project", "emulated"),
        # The emulator has no such buckets, and gcsfs would ask Google's own service for them.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }


def warehouse_environment(settings: Settings) -> dict[str, str]:
    """Environment variables with the warehouse's address; one may be a password."""
    warehouse = dict(settings.config["warehouse"])
    if warehouse["type"] == "postgres":
        warehouse = {"type": "postgres", **settings.warehouse()}
    elif settings.is_emulated:
        warehouse["storage_api"] = f"127.0.0.1:{settings.ports.bigquery_storage}"
    # Others are read by dbt alone, as text.
    return {
        f"MLOPS_WAREHOUSE__{name.upper()}": json.dumps(value) if isinstance(value, dict) else str(value)
        for name, value in warehouse.items()
        if value is not None
    }


def task_environment(settings: Settings) -> dict[str, str]:
    """Environment variables that the commands of tasks need, beside the common ones; some are passwords."""
    login = {}
    if user := settings.mlflow_user:
        login = {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": settings.secrets["mlflow_admin"]}
    if settings.config["mlflow"]:
        login |= {name: os.environ[name] for name in MLFLOW_LOGIN if name in os.environ}
    return {
        **login,
        **warehouse_environment(settings),
        "MLOPS_STUDIES": settings.studies(),
        **({"MLOPS_DBT_DOCS": docs} if (docs := dbt_docs(settings)) else {}),
    }


def dbt_docs(settings: Settings) -> str | None:
    """Folder for dbt's documentation, where its usual one is lost with a pod; None: the usual one."""
    in_pods = settings.config["runner"]["type"] in ("kubernetes", "gke")
    return f"{settings.artifacts}/dbt-docs" if in_pods and "://" not in settings.artifacts else None


def airflow_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of Airflow's components: folders and secrets; the connection to Airbyte comes beside."""
    home = settings.var / "airflow"
    return {
        **task_environment(settings),
        "AIRFLOW_HOME": str(home),
        # The operator for GKE asks for it; as it is, it stands for Google's default credentials.
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps({"conn_type": "google_cloud_platform"}),
        "AIRFLOW_CONFIG": str(ROOT / "config" / "airflow.cfg"),
        "AIRFLOW__CORE__DAGS_FOLDER": DAGS,
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "airflow" / "plugins"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.url('airflow')}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(settings.passwords_file),
        "AIRFLOW__API__BASE_URL": settings.link("airflow"),
        "AIRFLOW__API__HOST": settings.listens_at,
        "AIRFLOW__API__PORT": str(settings.ports.airflow),
        "AIRFLOW__API__SECRET_KEY": settings.secrets["api_secret_key"],
        "AIRFLOW__API_AUTH__JWT_SECRET": settings.secrets["jwt_secret"],
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": settings.database_url("airflow", "postgresql+psycopg2"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": settings.database_url("airflow", "postgresql+asyncpg"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(settings.var / "logs" / "airflow"),
        "MLOPS_LINKS__MLFLOW": settings.config["mlflow"] or settings.link("mlflow"),
        "MLOPS_LINKS__AIRBYTE": settings.link("airbyte"),
    }


def airbyte_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of the Airbyte service, beside the common ones."""
    database = settings.database("warehouse")
    return {
        "MLOPS_AIRBYTE__DATABASE__HOST": database["host"],
        "MLOPS_AIRBYTE__DATABASE__PORT": str(database["port"]),
        "MLOPS_AIRBYTE__DATABASE__DATABASE": database["dbname"],
        "MLOPS_AIRBYTE__DATABASE__USER": database["user"],
        "MLOPS_AIRBYTE__DATABASE__PASSWORD": database["password"],
        "PYTHONPATH": str(ROOT / "airbyte"),
        # Without it, each of several syncs at once keeps a heap of its own.
        "MALLOC_ARENA_MAX": "1",
        # Arrow's own allocator does not return freed memory.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MLOPS_AIRBYTE__HOST": settings.listens_at,
        "MLOPS_AIRBYTE__PORT": str(settings.ports.airbyte),
        "MLOPS_AIRBYTE__CLIENT_ID": settings.airbyte_client_id,
        "MLOPS_AIRBYTE__CLIENT_SECRET": settings.secrets["airbyte_client_secret"],
        "MLOPS_AIRBYTE__SIGNING_KEY": settings.secrets["airbyte_signing_key"],
    }


def mlflow_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of the MLflow server, beside the common ones."""
    return {
        "MLFLOW_HOST": settings.listens_at,
        "MLFLOW_PORT": str(settings.ports.mlflow),
        "MLFLOW_WORKERS": "1",
        "MLFLOW_BACKEND_STORE_URI": settings.database_url("mlflow", "postgresql+psycopg2"),
        "MLFLOW_ARTIFACTS_DESTINATION": str(settings.var / "artifacts" / "mlflow"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def health_url(settings: Settings, service: str) -> str:
    """URL that answers 2xx while a service works, for the stack's own processes."""
    return settings.url(service) + HEALTH[service]


def docs_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of the home page and docs server."""
    pages = [
        {
            "name": name,
            "url": settings.link(service) + path,
            "health": health_url(settings, service),
            "purpose": purpose,
        }
        for service, path, name, purpose in WEB_PAGES
    ]
    return {
        "MLOPS_VAR": str(settings.var),
        "MLOPS_HOME__HOST": settings.listens_at,
        "MLOPS_HOME__PORT": str(settings.ports.docs),
        "MLOPS_HOME__SERVICES": json.dumps(pages),
    }


def command_of(environment: str, *arguments: str) -> list[str]:
    """Command line of a program in one of the locked environments."""
    program, *rest = arguments
    return [str(ENVIRONMENTS / environment / "bin" / program), *rest]
