"""The services of the embedded place: how each is started, and when it is ready."""

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from stack import airbyte
from stack.embedded import postgres
from stack.environments import (
    DAGS,
    airbyte_environment,
    airflow_environment,
    command_of,
    docs_environment,
    health_url,
    mlflow_environment,
)
from stack.settings import ROOT, Settings

# Logs are read as files; a log server would outlive a killed scheduler and hold its locks.
SKIP_SERVER = ("--skip-serve-logs",)
AIRFLOW_COMPONENTS = {"api-server": (), "scheduler": SKIP_SERVER, "dag-processor": (), "triggerer": SKIP_SERVER}
# Where components find modules: what the scheduler loads before it forks, and our triggers.
MODULES = {"scheduler": str(ROOT / "airflow" / "preload"), "triggerer": DAGS}


@dataclass(frozen=True)
class Service:
    """A process of the stack.

    Attributes:
        is_ready: whether it works; may raise httpx.HTTPError, which means no.
        environment: variables of this service, beside the common ones.
        user: system user that it runs as; None: our own.
        late: whether a run can begin before it is ready.
    """

    name: str
    command: list[str]
    is_ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    late: bool = False


def services(settings: Settings, *, stay: bool) -> list[Service]:
    """All services, in the order in which they can start; those of Airflow need its database migrated.

    Only if they `stay`, beyond the command that starts them, the docs server is one: nobody would look at it otherwise.
    """
    docs = Service(
        "docs",
        command_of("stack", "python", "-m", "stack.home"),
        lambda: _answers(health_url(settings, "docs")),
        docs_environment(settings) | {"PYTHONPATH": str(ROOT)},
        late=True,
    )
    airflow = airflow_environment(settings) | ({"MLOPS_LINKS__DOCS": settings.link("docs")} if stay else {})
    airflow["AIRFLOW_CONN_AIRBYTE_DEFAULT"] = airbyte.connection(settings)
    # Services that the settings have elsewhere are not started here.
    elsewhere = {"airbyte": airbyte.declared(settings).airbyte, "mlflow": settings.config["mlflow"]}
    known = [
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
            lambda: _answers(health_url(settings, "airbyte")),
            airbyte_environment(settings),
        ),
        Service(
            "mlflow",
            command_of(settings.config["package"], "mlflow", "server"),
            lambda: _answers(health_url(settings, "mlflow")),
            mlflow_environment(settings),
            late=True,
        ),
        *(
            Service(
                f"airflow-{component}",
                command_of("airflow", "airflow", component, *options),
                lambda component=component: _airflow_is_healthy(settings, component),
                airflow | ({"PYTHONPATH": MODULES[component]} if component in MODULES else {}),
                # It keeps no state outside the database, and would take ten seconds to end.
                stop_signal="KILL" if component == "triggerer" else "TERM",
                late=component == "triggerer",
            )
            for component, options in AIRFLOW_COMPONENTS.items()
        ),
        *([docs] if stay else []),
        *(emulators(settings) if settings.is_emulated else []),
    ]
    return [each for each in known if not elsewhere.get(each.name)]


def emulators(settings: Settings) -> list[Service]:
    """The emulators of BigQuery and Cloud Storage, with the bucket of the artifacts."""
    data, ports = settings.var / "emulators", settings.ports
    scheme, _, root = settings.artifacts.partition("gs://")
    bucket = [] if scheme else ["--bucket", root.partition("/")[0]]
    environment = {"PYTHONPATH": str(ROOT)}
    bigquery = [
        "--data",
        str(data / "bigquery"),
        "--storage-root",
        str(data / "storage"),
        "--port",
        str(ports.bigquery),
    ]
    bigquery += ["--grpc-port", str(ports.bigquery_storage)]
    storage = ["--data", str(data / "storage"), "--port", str(ports.storage), *bucket]
    return [
        Service(
            "bigquery",
            command_of("emulators", "python", "-m", "emulators.bigquery", *bigquery),
            lambda: _answers(health_url(settings, "bigquery")),
            environment,
        ),
        Service(
            "storage",
            command_of("emulators", "python", "-m", "emulators.storage", *storage),
            lambda: _answers(health_url(settings, "storage")),
            environment,
        ),
    ]


def _answers(url: str) -> bool:
    return httpx.get(url, timeout=30, trust_env=False).is_success


def _airflow_is_healthy(settings: Settings, component: str) -> bool:
    """Whether a component of Airflow works, according to the api-server.

    The api-server prepares the part that tasks talk to at the first request for it, which takes seconds: ask now.
    """
    url = health_url(settings, "airflow")
    if component == "api-server":
        return _answers(f"{settings.url('airflow')}/execution/health") and _answers(url)
    answer = httpx.get(url, timeout=5, trust_env=False)
    return answer.is_success and answer.json()[component.replace("-", "_")]["status"] == "healthy"
