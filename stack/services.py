"""The services of the embedded stack: what each is started with."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from stack import postgres
from stack.settings import ENVIRONMENTS, ROOT, Settings, inherited_environment

# Logs are files here, so none serves them; a server would outlive a scheduler that is killed, and hold its locks.
AIRFLOW_COMPONENTS = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
AIRBYTE_CLIENT_ID = "airflow"
# Modules that the scheduler loads before it forks.
PRELOAD = str(ROOT / "airflow" / "preload")
LOCAL = "127.0.0.1,localhost"


@dataclass(frozen=True)
class Service:
    """A process of the stack.

    Attributes:
        name: of the program and of its log file.
        command: what is run, from the repository's root.
        is_ready: whether it does its work; may raise httpx.HTTPError, which means no.
        environment: variables that this service is told beside the common ones.
        user: system user that it runs as; None: our own.
        stop_signal: what asks it to end.
        late: whether a run can begin before it is ready.
    """

    name: str
    command: list[str]
    is_ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    late: bool = False


def common_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of every process of the stack; none is a secret."""
    inherited = inherited_environment()
    no_proxy = ",".join(filter(None, (inherited.get("NO_PROXY") or inherited.get("no_proxy"), LOCAL)))
    return {
        **inherited,
        # Services reach each other directly, whatever proxy the caller uses.
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        # Nothing calls home.
        "DO_NOT_TRACK": "1",
        "SCARF_ANALYTICS": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # A process that sets its title would otherwise write over its environment, by which we know our own.
        "SPT_NOENV": "1",
        "MLOPS_VAR": str(settings.var),
        "MLOPS_CONFIG": str(settings.var / "config.yaml"),
        "MLOPS_SOURCE": settings.config["source"],
        "MLOPS_ARTIFACTS": str(settings.var / "artifacts"),
        "MLOPS_MLFLOW": settings.url("mlflow"),
        "MLOPS_RUNNER__TYPE": "venv",
        "MLOPS_RUNNER__ROOT": str(ENVIRONMENTS),
        "MLOPS_RUNNER__PROJECT": str(ROOT),
    }


def task_environment(settings: Settings) -> dict[str, str]:
    """Environment variables, with passwords among them, that the commands of tasks need beside the common ones."""
    address = settings.database("warehouse")
    return {
        "MLOPS_WAREHOUSE__TYPE": "postgres",
        "MLOPS_WAREHOUSE__HOST": address["host"],
        "MLOPS_WAREHOUSE__PORT": str(address["port"]),
        "MLOPS_WAREHOUSE__DATABASE": address["dbname"],
        "MLOPS_WAREHOUSE__USER": address["user"],
        "MLOPS_WAREHOUSE__PASSWORD": address["password"],
        "MLOPS_STUDIES": settings.database_url("optuna", "postgresql+psycopg2"),
    }


def airflow_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of Airflow's components: places, secrets and connections."""
    home = settings.var / "airflow"
    api = f"{settings.url('airbyte')}/api/public/v1/"
    airbyte = {
        "conn_type": "airbyte",
        "host": api,
        "schema": f"{api}applications/token",
        "login": AIRBYTE_CLIENT_ID,
        "password": settings.secrets["airbyte_client_secret"],
    }
    return {
        **task_environment(settings),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(ROOT / "config" / "airflow.cfg"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "airflow" / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "airflow" / "plugins"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.url('airflow')}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__BASE_URL": settings.url("airflow"),
        "AIRFLOW__API__PORT": str(settings.ports.airflow),
        "AIRFLOW__API__SECRET_KEY": settings.secrets["api_secret_key"],
        "AIRFLOW__API_AUTH__JWT_SECRET": settings.secrets["jwt_secret"],
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": settings.database_url("airflow", "postgresql+psycopg2"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": settings.database_url("airflow", "postgresql+asyncpg"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(settings.var / "logs" / "airflow"),
        "AIRFLOW_CONN_AIRBYTE_DEFAULT": json.dumps(airbyte),
    }


def command_of(environment: str, *arguments: str) -> list[str]:
    """Command line of a program in one of the locked environments."""
    program, *rest = arguments
    return [str(ENVIRONMENTS / environment / "bin" / program), *rest]


def services(settings: Settings) -> list[Service]:
    """All services, in the order in which they can start; those of Airflow need its database migrated."""
    return [
        Service(
            "postgres",
            postgres.server_command(settings.var / "postgres", settings.ports.postgres),
            lambda: postgres.is_ready(settings.ports.postgres),
            user=postgres.system_user(),
            stop_signal="INT",
        ),
        Service(
            "airbyte",
            command_of("airbyte", "python", "-m", "airbyte_local"),
            lambda: _answers(f"{settings.url('airbyte')}/api/public/v1/health"),
            {
                **task_environment(settings),
                "PYTHONPATH": str(ROOT / "airbyte"),
                # Else each sync that runs beside others leaves a heap of its own behind.
                "MALLOC_ARENA_MAX": "1",
                "MLOPS_AIRBYTE__PORT": str(settings.ports.airbyte),
                "MLOPS_AIRBYTE__CLIENT_ID": AIRBYTE_CLIENT_ID,
                "MLOPS_AIRBYTE__CLIENT_SECRET": settings.secrets["airbyte_client_secret"],
                "MLOPS_AIRBYTE__SIGNING_KEY": settings.secrets["airbyte_signing_key"],
            },
        ),
        Service(
            "mlflow",
            command_of("tagifai", "mlflow", "server", "--port", str(settings.ports.mlflow), "--workers", "1"),
            lambda: _answers(f"{settings.url('mlflow')}/health"),
            {
                "MLFLOW_BACKEND_STORE_URI": settings.database_url("mlflow", "postgresql+psycopg2"),
                "MLFLOW_ARTIFACTS_DESTINATION": str(settings.var / "artifacts" / "mlflow"),
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            late=True,
        ),
        *(
            Service(
                f"airflow-{component}",
                command_of("airflow", "airflow", component, *options),
                lambda component=component: _airflow_is_healthy(settings, component),
                airflow_environment(settings) | ({"PYTHONPATH": PRELOAD} if component == "scheduler" else {}),
                # It keeps nothing that is not in the database, and would take ten seconds to end by itself.
                stop_signal="KILL" if component == "triggerer" else "TERM",
                late=component == "triggerer",
            )
            for component, options in AIRFLOW_COMPONENTS.items()
        ),
    ]


def _answers(url: str) -> bool:
    return httpx.get(url, timeout=30, trust_env=False).is_success


def _airflow_is_healthy(settings: Settings, component: str) -> bool:
    """Whether a component of Airflow lives, as the api-server tells.

    The api-server makes the part that tasks talk to when it is first asked for; that takes seconds, so it is asked now.
    """
    if component == "api-server" and not _answers(f"{settings.url('airflow')}/execution/health"):
        return False
    answer = httpx.get(f"{settings.url('airflow')}/api/v2/monitor/health", timeout=5, trust_env=False)
    key = component.replace("-", "_")
    return answer.is_success and (component == "api-server" or answer.json()[key]["status"] == "healthy")
