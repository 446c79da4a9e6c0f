"""docker-compose.yml: what each service may and may not do, as Compose reads the file, and as the engine runs it."""

import json
import re

import pytest
from compose_testing import COMPOSE, DEFAULTS
from docker_testing import ROOT, run

# They end by themselves.
JOBS = {"init", "connect"}


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
def test_the_file_is_valid_and_compose_has_nothing_to_say_of_it():
    done = run(*COMPOSE, "config", "--quiet", env=DEFAULTS)
    assert done.stdout + done.stderr == ""


def test_ports_are_of_this_machine_alone(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert {port["published"] for port in ports} == {"8080", "5000", "8001", "8088"}
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert not [name for name, service in services.items() if service.get("network_mode")]


def test_databases_are_reached_from_nowhere_else(config, services):
    assert config["networks"]["databases"]["internal"]
    assert list(services["postgres"]["networks"]) == ["databases"]
    assert "ports" not in services["postgres"]


def test_no_service_has_a_right_that_it_does_not_need(services):
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"], name
        assert not {"cap_add", "privileged", "devices", "pid", "ipc", "userns_mode"} & set(service), name


def test_no_service_reaches_the_engine_and_code_is_mounted_read_only(services):
    for name, service in services.items():
        for mount in service.get("volumes", []):
            assert "docker.sock" not in mount["source"], name
            assert mount["type"] == "volume" or mount["read_only"], (name, mount)
            assert mount["target"] != "/source" or not mount["bind"].get("create_host_path"), name


def test_every_service_has_bounds(services):
    for name, service in services.items():
        assert 0 < int(service["mem_limit"]) <= 4 << 30, name
        assert service["pids_limit"] == 500, name
        assert service["logging"] == {"driver": "json-file", "options": {"max-file": "3", "max-size": "10m"}}, name


def test_every_lasting_service_is_watched_and_started_again(lasting):
    for name, service in lasting.items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name


def test_jobs_end_and_are_not_started_again(services):
    assert set(services) >= JOBS
    for name in JOBS:
        assert services[name]["restart"] == "no"


def test_every_image_of_others_has_a_fixed_tag(services):
    others = {service["image"] for service in services.values() if not service["image"].startswith("mlops-")}
    dockerfiles = [ROOT / "docker" / "Dockerfile", *(ROOT / "docker" / "stand-ins").glob("*.Dockerfile")]
    lines = "\n".join(path.read_text(encoding="utf-8") for path in dockerfiles)
    stages = set(re.findall(r"^FROM .* AS (\S+)$", lines, re.MULTILINE)) | {"scratch"}
    others |= set(re.findall(r"^FROM (\S+)", lines, re.MULTILINE)) - stages
    assert others
    for image in others:
        assert re.search(r":\d+(\.\d+)*(-[a-z-]+)?$", image), image


def test_every_image_of_ours_is_built_here(services):
    built = {service["image"] for service in services.values() if "build" in service}
    assert built == {service["image"] for service in services.values() if service["image"].startswith("mlops-")}


def test_no_password_is_in_the_file(services):
    for name, service in services.items():
        for key, value in (service.get("environment") or {}).items():
            secret = re.search(r"PASSWORD|SECRET|TOKEN|KEY", key) and not key.endswith("_FILE")
            assert not secret or not value, (name, key)


@pytest.mark.parametrize("name", ["AIRFLOW", "MLFLOW", "AIRBYTE", "DOCS", "POSTGRES"])
@pytest.mark.usefixtures("engine")
def test_a_port_that_is_no_number_is_told_by_its_name_before_anything_starts(name):
    done = run(*COMPOSE, "config", "--quiet", env=DEFAULTS | {f"{name}_PORT": "eighty"}, check=False)
    assert done.returncode
    assert f"{name}_PORT" in done.stderr
    assert "eighty" in done.stderr


def test_no_image_is_of_root(services, our_images):
    for image in {service["image"] for service in services.values()}:
        user = run("docker", "image", "inspect", "--format", "{{.Config.User}}", image).stdout.strip()
        users = {service.get("user") or user for service in services.values() if service["image"] == image}
        assert users <= {"mlops", "postgres"}, image


def test_a_container_that_runs_is_as_the_file_says(project):
    project.compose("up", "--detach", "--no-deps", "postgres")
    container = project.container("postgres")
    facts = json.loads(run("docker", "inspect", container).stdout)[0]
    host = facts["HostConfig"]
    assert (facts["Config"]["User"], host["ReadonlyRootfs"], host["CapDrop"]) == ("postgres", True, ["ALL"])
    assert (host["SecurityOpt"], host["Privileged"]) == (["no-new-privileges:true"], False)
    assert (host["Memory"], host["PidsLimit"]) == (1 << 30, 500)
    assert (host["RestartPolicy"]["Name"], host["PortBindings"] or {}) == ("unless-stopped", {})
    assert host["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}
    assert [name.rpartition("_")[2] for name in facts["NetworkSettings"]["Networks"]] == ["databases"]
    status = run("docker", "exec", container, "cat", "/proc/self/status").stdout
    assert dict(re.findall(r"^(CapEff|NoNewPrivs|Uid):\s+(\d+)", status, re.MULTILINE)) == {
        "CapEff": "0" * 16,
        "NoNewPrivs": "1",
        "Uid": "999",
    }
    refused = run("docker", "exec", container, "touch", "/usr/mine", check=False).stderr
    assert "Read-only file system" in refused
