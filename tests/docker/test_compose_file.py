"""docker-compose.yml: the rights and limits of each service, and that it agrees with the other files about settings,
commands and health paths.
"""

import json
import re

import pytest
import yaml
from compose_testing import COMPOSE, DEFAULTS
from docker_testing import ROOT, run

from devtools.torture.containers import SERVICES
from stack import databases
from stack.compose.settings import PORTS, Environment, environment_of
from stack.embedded import settings as embedded_settings
from stack.embedded.services import MODULES
from stack.embedded.services import services as embedded_services
from stack.environments import ENVIRONMENTS, HEALTH

pytestmark = pytest.mark.xdist_group("compose file")

# Services that end by themselves.
JOBS = {"init", "connect"}
# What takes the place of settings without a default: no socket, and a group that the user has anyway.
UNSET = {"DOCKER_SOCKET": "/dev/null", "DOCKER_GROUP": "10001"}


@pytest.fixture(scope="module")
def config(engine):
    """The file as Compose reads it, with the defaults."""
    return json.loads(run(*COMPOSE, "config", "--format", "json", env=DEFAULTS).stdout)


@pytest.fixture(scope="module")
def services(config):
    return config["services"]


@pytest.fixture(scope="module")
def lasting(services):
    """The services that do not end by themselves."""
    return {name: service for name, service in services.items() if name not in JOBS}


@pytest.mark.usefixtures("engine")
def test_the_file_is_valid_and_causes_no_warning():
    done = run(*COMPOSE, "config", "--quiet", env=DEFAULTS)
    assert done.stdout + done.stderr == ""


def test_ports_are_published_on_this_machine_only(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert {port["published"] for port in ports} == {"8080", "5000", "8001", "8088"}
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert not [name for name, service in services.items() if service.get("network_mode")]


def test_the_network_of_the_databases_is_not_reachable_from_outside(config, services):
    assert config["networks"]["databases"]["internal"]
    assert list(services["postgres"]["networks"]) == ["databases"]
    assert "ports" not in services["postgres"]


def test_no_service_has_a_right_that_it_does_not_need(services):
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"], name
        assert not {"cap_add", "privileged", "devices", "pid", "ipc", "userns_mode"} & set(service), name


def test_no_service_reaches_the_docker_engine_and_code_is_mounted_read_only(services):
    for name, service in services.items():
        for mount in service.get("volumes", []):
            assert "docker.sock" not in mount["source"], name
            assert mount["type"] == "volume" or mount["read_only"], (name, mount)
            assert mount["target"] != "/source" or not mount["bind"].get("create_host_path"), name


def test_every_service_has_limits(services):
    for name, service in services.items():
        assert 0 < int(service["mem_limit"]) <= 4 << 30, name
        assert service["pids_limit"] == 500, name
        assert service["logging"] == {"driver": "json-file", "options": {"max-file": "3", "max-size": "10m"}}, name


def test_every_lasting_service_has_a_health_check_and_is_restarted(lasting):
    for name, service in lasting.items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name


def test_jobs_are_not_restarted(services):
    assert set(services) >= JOBS
    for name in JOBS:
        assert services[name]["restart"] == "no"


def test_every_external_image_has_a_fixed_tag(services):
    others = {service["image"] for service in services.values() if not service["image"].startswith("mlops-")}
    dockerfiles = [ROOT / "docker" / "Dockerfile", *(ROOT / "docker" / "stand-ins").glob("*.Dockerfile")]
    lines = "\n".join(path.read_text(encoding="utf-8") for path in dockerfiles)
    stages = set(re.findall(r"^FROM .* AS (\S+)$", lines, re.MULTILINE)) | {"scratch"}
    others |= set(re.findall(r"^FROM (\S+)", lines, re.MULTILINE)) - stages
    assert others
    for image in others:
        assert re.search(r":\d+(\.\d+)*(-[a-z-]+)?$", image), image


def test_every_image_of_ours_is_built_by_the_file(services):
    built = {service["image"] for service in services.values() if "build" in service}
    assert built == {service["image"] for service in services.values() if service["image"].startswith("mlops-")}


def test_no_password_is_in_the_file(services):
    for name, service in services.items():
        for key, value in (service.get("environment") or {}).items():
            secret = re.search(r"PASSWORD|SECRET|TOKEN|KEY", key) and not key.endswith("_FILE")
            assert not secret or not value, (name, key)


@pytest.mark.usefixtures("engine")
def test_only_the_scheduler_reaches_the_docker_engine_if_env_names_its_socket():
    given = DEFAULTS | {"DOCKER_SOCKET": "/run/some.sock", "DOCKER_GROUP": "123"}
    services = json.loads(run(*COMPOSE, "config", "--format", "json", env=given).stdout)["services"]
    sockets = {
        name for name, each in services.items() for mount in each.get("volumes", []) if ".sock" in mount["source"]
    }
    assert sockets == {name for name, each in services.items() if "123" in each.get("group_add", [])}
    assert sockets == {"airflow-scheduler"}


@pytest.mark.parametrize("name", ["AIRFLOW", "MLFLOW", "AIRBYTE", "DOCS", "POSTGRES"])
@pytest.mark.usefixtures("engine")
def test_compose_names_the_setting_of_a_port_that_is_not_a_number(name):
    done = run(*COMPOSE, "config", "--quiet", env=DEFAULTS | {f"{name}_PORT": "eighty"}, check=False)
    assert done.returncode
    assert f"{name}_PORT" in done.stderr
    assert "eighty" in done.stderr


def test_no_service_runs_as_root(services, our_images):
    for image in {service["image"] for service in services.values()}:
        user = run("docker", "image", "inspect", "--format", "{{.Config.User}}", image).stdout.strip()
        users = {service.get("user") or user for service in services.values() if service["image"] == image}
        assert users <= {"mlops", "postgres"}, image


# --- facts that other files state too; no Docker is needed ---


@pytest.fixture(scope="module")
def written():
    """The file as it is written, with ${VARIABLES}."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def defaults(text):
    """The variables that a text uses, each with the operator and the word that follow its name."""
    return set(re.findall(r"\$\{(\w+)(?::?([-+?])([^}]*))?\}", text))


def test_the_example_of_env_has_every_setting_with_its_default_and_an_explanation():
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)
    expected = {name.upper(): field.default for name, field in Environment.model_fields.items()}
    assert dict(lines) == {name: "" if value is None else str(value) for name, value in expected.items()}
    assert len(lines) == len(expected)
    assert environment_of(ROOT / ".env.example", {}) == Environment()
    assert all(block.startswith("#") for block in text.split("\n\n"))


def test_the_file_uses_every_setting_with_its_default(written):
    used = defaults(json.dumps(written))
    assert {name for name, _, _ in used} == {name.upper() for name in Environment.model_fields}
    for name, operator, word in used:
        default = Environment.model_fields[name.lower()].default
        if name.startswith("BUILD_"):
            assert (operator, word, default) == ("-", "/dev/null", "")
        elif name in UNSET and operator == "-":
            assert (word in ("", UNSET[name]), default) == (True, None), name
        elif operator == "-":
            assert word == ("" if default is None else str(default)), name


def test_the_init_job_gets_every_setting_but_those_of_the_build(written):
    given = written["services"]["init"]["environment"]
    assert set(given) == {name.upper() for name in Environment.model_fields if not name.startswith("build_")}
    assert all(value.startswith(f"${{{name}:-") for name, value in given.items())


def test_published_ports_lead_to_where_the_services_listen(written):
    for name, port in PORTS.items():
        service = written["services"]["airflow-api-server" if name == "airflow" else name]
        for published in service.get("ports", []):
            assert re.fullmatch(rf"127\.0\.0\.1:\$\{{{name.upper()}_PORT:-\d+\}}:{port}", published), published


def command_in_container(name, service):
    """The command of a service: that of the file, or that of the image's stage in the Dockerfile."""
    if command := service.get("command"):
        return command
    stages = re.split(r"^FROM \S+ AS (\S+)$", (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    stage = dict(zip(stages[1::2], stages[2::2], strict=True))[service["build"]["target"]]
    return json.loads(re.search(r"^CMD (\[.*\])$", stage, re.MULTILINE)[1])


def test_services_have_the_commands_of_the_embedded_place(written, tmp_path):
    settings = embedded_settings.load(tmp_path)
    for service in embedded_services(settings, stay=True):
        if service.name != "postgres":
            container = written["services"][service.name]
            program = [word.removeprefix(f"{ENVIRONMENTS}/") for word in service.command]
            # Both start a program of an environment's folder bin; the image has that folder in its PATH.
            expected = [program[0].rpartition("/")[2], *program[1:]]
            given = command_in_container(service.name, container)
            # MLflow asks for logins in containers only.
            assert given == expected + (["--app-name", "basic-auth"] if service.name == "mlflow" else []), service.name
            assert (container.get("stop_signal") == "SIGKILL") == (service.stop_signal == "KILL"), service.name
            modules = container.get("environment", {}).get("PYTHONPATH")
            component = service.name.removeprefix("airflow-")
            assert modules == (MODULES[component].replace(str(ROOT), "/opt/mlops") if component in MODULES else None)


def test_health_checks_ask_what_the_embedded_place_asks(written):
    checks = {name: each["healthcheck"]["test"] for name, each in written["services"].items() if "healthcheck" in each}
    for name in ("airbyte", "mlflow", "docs"):
        assert checks[name] == ["CMD", "answers", "127.0.0.1", str(PORTS[name]), HEALTH[name]]
    assert checks["airflow-api-server"] == ["CMD", "answers", "127.0.0.1", str(PORTS["airflow"]), "/execution/health"]
    for component in ("scheduler", "dag-processor", "triggerer"):
        status = f'"{component.replace("-", "_")}":{{"status":"healthy"'
        asked = ["CMD", "answers", "airflow-api-server", str(PORTS["airflow"]), HEALTH["airflow"], status]
        assert checks[f"airflow-{component}"] == asked


def test_backups_have_every_database_and_torture_kills_every_lasting_service(lasting):
    listed = re.search(r"^DATABASES=\((.*)\)$", (ROOT / "docker" / "common.bash").read_text(), re.MULTILINE)
    assert listed[1].split() == list(databases.NAMES)
    assert sorted(SERVICES) == sorted(lasting)
