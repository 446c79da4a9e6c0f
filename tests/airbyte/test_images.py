"""Connectors that are container images, run by a real Docker engine; the image is made here, from busybox."""

import io
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from airbyte_protocol.models import FailureType
from airbyte_testing import CLIENT, NUMBERS, PYTHONPATH, connection_of, destination_of, is_alive, register, wait_until

from airbyte_local.connectors import images
from airbyte_local.connectors import process as connector
from airbyte_local.connectors.environments import ConnectorInstallError
from airbyte_local.connectors.registry import Image, RegistryError, find

TAG = "1.0.0"
RUN = str(uuid.uuid4())
SECRET = "the-key-of-the-source"
SPEC = {"type": "object", "properties": {"key": {"type": "string", "airbyte_secret": True}}}
STREAM = {"name": "numbers", "json_schema": NUMBERS, "supported_sync_modes": ["full_refresh"]}
# What it prints as id 0 and 1 is what it sees of its container.
CONNECTOR = f"""
record() {{
  data='{{"id":'$1',"text":"'$2'"}}'
  echo '{{"type":"RECORD","record":{{"stream":"numbers","emitted_at":1000,"data":'"$data"'}}}}'
}}
case "$1" in
  spec) echo '{json.dumps({"type": "SPEC", "spec": {"connectionSpecification": SPEC}})}' ;;
  check)
    if grep -q refuses "$3"; then status='"FAILED","message":"no such door"'; else status='"SUCCEEDED"'; fi
    echo '{{"type":"CONNECTION_STATUS","connectionStatus":{{"status":'"$status"'}}}}' ;;
  discover) grep -q . "$3" && echo '{json.dumps({"type": "CATALOG", "catalog": {"streams": [STREAM]}})}' ;;
  read)
    grep -q numbers "$5" || exit 3
    record 0 "$(id -u) $(grep Cap[BE] /proc/self/status | tr -d '\\n\\t') $(echo x 2>&1 >"$3" | tail -c 22)"
    record 1 "$(env | sort | tr '\\n' ' ')"
    if grep -q hangs "$3"; then trap '' TERM; while :; do sleep 1; done; fi ;;
esac
"""


def need(is_there, reason):
    """Skip the test, except in CI, where what it needs has to be there."""
    if not is_there and "CI" in os.environ:
        pytest.fail(reason)
    if not is_there:
        pytest.skip(reason)


def docker(*arguments, **options):
    """Output of a command of Docker's."""
    return subprocess.run(["docker", *arguments], capture_output=True, check=True, **options).stdout.decode().strip()


@pytest.fixture(scope="session")
def program():
    """The program `docker`, whether its engine runs or not."""
    need(shutil.which("docker"), "no docker here: install docker.io")


@pytest.fixture(scope="session")
def engine(program):
    """A Docker engine that answers."""
    answer = subprocess.run(["docker", "info"], capture_output=True, text=True)
    need(answer.returncode == 0, f"no Docker engine answers: {answer.stderr.strip()}")


@pytest.fixture(scope="session")
def image(engine):
    """Name of a connector's image with the tag TAG; its user is 4711."""
    busybox = shutil.which("busybox")
    need(busybox, "no busybox here: install busybox-static")
    name = f"airbyte-local-test-{uuid.uuid4().hex}"
    changes = ['ENTRYPOINT ["/bin/sh", "/connector"]', "USER 4711:4711", "ENV OWN=1"]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.add(os.path.realpath(busybox), "bin/busybox")
        for applet in ("sh", "echo", "env", "grep", "id", "sleep", "sort", "tail", "tr"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        script = tarfile.TarInfo("connector")
        script.size, script.mode = len(CONNECTOR.encode()), 0o644
        tar.addfile(script, io.BytesIO(CONNECTOR.encode()))
    options = [f"--change={change}" for change in changes]
    docker("import", *options, "-", f"{name}:{TAG}", input=content.getvalue())
    yield name
    docker("image", "rm", "--force", f"{name}:{TAG}")


@pytest.fixture
def service(new_service, tmp_path, database, image):
    """A service whose sources are containers, with a workspace and a source."""
    service = new_service(**register(tmp_path, boxed={"image": image, "tag": TAG})).start()
    service.workspace = made(service, "workspaces", {"name": "w"})
    service.source = made(service, "sources", source_of(service))
    destination = {"name": "warehouse", "workspaceId": service.workspace, "configuration": destination_of(database)}
    configurations = connection_of("numbers")["configurations"]
    ids = {"sourceId": service.source, "destinationId": made(service, "destinations", destination)}
    made(service, "connections", {**ids, "name": "numbers", "configurations": configurations})
    return service


@pytest.fixture
def hanging(service, image):
    """A service with a sync whose container ignores SIGTERM and never ends; the job and the container."""
    answer = hang(service)
    assert answer.status_code == 200, answer.text
    job = service.submit("numbers")["jobId"]
    wait_until(lambda: service.job(job)["rowsSynced"] == 2)
    (container,) = containers(image)
    return job, container


@pytest.fixture
def fake_docker(tmp_path, monkeypatch):
    """Folder of a stand-in for `docker`, whose engine is a socket that listens and nothing more."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "engine"))
        listening.listen()
        yield folder


# Each check would run a container.
UNCHECKED = {"Prefer": "handling=lenient"}


def hang(service):
    """Make the service's source hang when it is read; the response."""
    change = {"configuration": {"hangs": "yes"}}
    return service.client.patch(f"/sources/{service.source}", json=change, headers=UNCHECKED)


def made(service, kind, body):
    """Create something through the API, without a check; its id."""
    answer = service.client.post(f"/{kind}", json=body, headers=UNCHECKED)
    assert answer.status_code == 200, answer.text
    return answer.json()[f"{kind[:-1]}Id"]


def source_of(service, **more):
    """Body of a request for a source that is a container."""
    configuration = {"sourceType": "boxed", "key": SECRET, **more}
    return {"name": "boxed", "workspaceId": service.workspace, "configuration": configuration}


def containers(image):
    """Ids of its containers, ended ones too."""
    return docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"ancestor={image}:{TAG}").split()


def client_of(container):
    """Id of the process `docker run` of a container, found by the container's label."""
    label = docker("inspect", "--format", '{{index .Config.Labels "airbyte-local.run"}}', container)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[:2] == ["docker", "run"] and f"--label=airbyte-local.run={label}" in words:
                return int(process.name)
    raise AssertionError(f"no docker run of {label}")


def fetch():
    """Fetch an image; the error that says why that cannot be."""
    with pytest.raises(ConnectorInstallError) as error:
        images.fetch(f"airbyte-local-test/none:{TAG}", run=RUN, log=logging.getLogger("test"))
    return error.value


def fetch_with(folder, *, pull):
    """The error of a fetch where `docker pull` is these lines of shell."""
    script = folder / "docker"
    address = f"unix://{folder.parent / 'engine'}"
    script.write_text(f'#!/bin/sh\ncase "$1" in\ncontext) echo {address} ;;\nimage) exit 1 ;;\npull) {pull} ;;\nesac\n')
    script.chmod(0o755)
    return fetch()


def registered(tmp_path, **image):
    """Program that a registry with this image gives."""
    return find(Path(register(tmp_path, boxed=image)["MLOPS_AIRBYTE__CONNECTORS"]), "boxed")


def test_spec_check_and_discover_run_in_a_container(service, image):
    refused = service.client.post("/sources", json=source_of(service, refuses="yes"))
    assert (refused.status_code, "no such door" in refused.text) == (422, True)
    assert service.client.post("/sources", json=source_of(service)).status_code == 200
    wrong = service.client.post("/sources", json=source_of(service, key=1))
    assert (wrong.status_code, "configuration.key" in wrong.text) == (422, True)
    (stream,) = service.client.get("/streams", params={"sourceId": service.source}).json()
    assert (stream["streamName"], stream["propertyFields"]) == ("numbers", [["id"], ["text"]])
    assert containers(image) == []


def test_rows_arrive_from_a_container_without_rights_or_variables_of_ours(service, query, image):
    assert service.sync("numbers")["status"] == "succeeded"
    sees, environment = (text for _, text in sorted(query("select id, text from raw.numbers")))
    assert sees == f"4711 CapEff:{'0' * 16}CapBnd:{'0' * 16} Read-only file system"
    names = {each.partition("=")[0] for each in environment.split()}
    silence = {"DO_NOT_TRACK", "LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"}
    assert names - {"HOSTNAME", "HOME", "PATH", "PWD", "SHLVL", "container"} == {"OWN", *silence}
    assert containers(image) == []


def test_cancel_kills_the_container(service, hanging, image):
    job, _ = hanging
    assert service.client.delete(f"/jobs/{job}").json()["status"] == "cancelled"
    assert containers(image) == []


def test_the_time_limit_kills_the_container(new_service, service, image):
    service.end(signal.SIGTERM)
    service.environment["MLOPS_AIRBYTE__JOB_TIMEOUT"] = "5"
    service.start()
    hang(service)
    job = service.sync("numbers")
    assert (job["status"], "airbyte.job_timeout" in job["failureReason"]) == ("failed", True)
    assert containers(image) == []


def test_killing_the_docker_client_ends_the_container(service, hanging, image):
    job, container = hanging
    os.kill(client_of(container), signal.SIGKILL)
    assert service.ended(job)["status"] == "failed"
    assert containers(image) == []


def test_the_container_of_a_killed_service_is_gone_after_the_next_start(service, hanging, image):
    job, container = hanging
    client = client_of(container)
    service.end(signal.SIGKILL)
    assert containers(image) == [container]
    service.start()
    assert container not in containers(image)
    assert not is_alive(client)
    wait_until(lambda: service.job(job)["rowsSynced"] == 2)  # it is tried again
    service.client.delete(f"/jobs/{job}")
    assert containers(image) == []


def test_containers_of_another_service_are_kept(image, tmp_path):
    ours, other = (images.Container(str(uuid.uuid4()), str(uuid.uuid4())) for _ in range(2))
    for each in (ours, other):
        labels = [argument for argument in each.command(tmp_path) if argument.startswith("--label")]
        docker("create", *labels, f"{image}:{TAG}", "spec")
    images.end_orphans(ours.service)
    assert len(containers(image)) == 1
    other.end()
    assert containers(image) == []


def test_secrets_are_neither_in_the_container_nor_in_a_list_of_processes(hanging, service, database):
    _, container = hanging
    shown = docker("inspect", container)
    lines = Path(f"/proc/{client_of(container)}/cmdline").read_bytes().decode()
    signing_key = service.environment["MLOPS_AIRBYTE__SIGNING_KEY"]
    for secret in (SECRET, CLIENT["client_secret"], signing_key, database["password"]):
        assert secret not in shown
        assert secret not in lines
    (mount,) = json.loads(shown)[0]["Mounts"]
    assert mount["RW"] is False
    assert Path(mount["Source"]).parent.stat().st_mode & 0o777 == 0o700


def test_a_missing_image_is_reported_with_the_output_of_docker_in_the_log(engine, new_service, tmp_path):
    service = new_service(**register(tmp_path, boxed={"image": "registry.invalid/none", "tag": TAG})).start()
    service.workspace = made(service, "workspaces", {"name": "w"})
    answer = service.client.post("/sources", json=source_of(service))
    assert answer.status_code == 502
    assert f"the image registry.invalid/none:{TAG} cannot be pulled: the registry does not answer" in answer.text
    assert "docker pull: Error response from daemon" in service.log.read_text()


@pytest.mark.parametrize(
    ("said", "words", "kind"),
    [
        ("manifest for a/b:1.0.0 not found: manifest unknown: x", "correct `image` or `tag`", "config_error"),
        ("pull access denied for a/b, repository does not exist or may require x", "docker login", "config_error"),
        ("no matching manifest for linux/arm64/v8 in the manifest list", "use another tag", "config_error"),
        ("toomanyrequests: You have reached your pull rate limit", "no more pulls for now", "transient_error"),
        ("dial tcp: lookup x: no such host", "check the network", "transient_error"),
        ("net/http: request canceled (Client.Timeout exceeded)", "check the network", "transient_error"),
        ("write /x: no space left on device", "fix the error below", "system_error"),
    ],
)
def test_a_failed_pull_is_reported_with_the_reason_and_what_to_do(fake_docker, said, words, kind, caplog):
    caplog.set_level(logging.INFO)
    error = fetch_with(fake_docker, pull=f"echo 'Error response from daemon: {said}' >&2; exit 1")
    assert words in str(error)
    assert said in str(error)
    assert said in caplog.text
    assert error.failure_type is FailureType(kind)


def test_a_pull_is_ended_with_its_run(fake_docker, caplog):
    caplog.set_level(logging.INFO)
    with ThreadPoolExecutor() as pool:
        error = pool.submit(fetch_with, fake_docker, pull="echo begun; exec sleep 600")
        wait_until(lambda: "docker pull: begun" in caplog.text)
        connector.end_orphans(RUN)
        assert "cannot be pulled" in str(error.result(timeout=20))


def test_without_the_program_docker_the_service_starts_and_the_error_says_what_to_do(
    new_service, tmp_path, monkeypatch
):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "setpriv").symlink_to(shutil.which("setpriv"))
    service = new_service(**register(tmp_path, boxed={"image": "a/b", "tag": TAG}), PATH=str(empty)).start()
    service.workspace = made(service, "workspaces", {"name": "w"})
    answer = service.client.post("/sources", json=source_of(service))
    assert (answer.status_code, "install Docker Engine" in answer.text) == (502, True)
    monkeypatch.setenv("PATH", str(empty))
    assert fetch().failure_type is FailureType.config_error


def test_docker_is_not_called_if_no_connector_is_an_image(new_service, tmp_path, fake_docker):
    (fake_docker / "docker").write_text(f"#!/bin/sh\necho called >>{tmp_path}/called\nexit 1\n")
    (fake_docker / "docker").chmod(0o755)
    service = new_service(**register(tmp_path), PATH=os.environ["PATH"]).start()
    assert not (tmp_path / "called").exists()
    service.end(signal.SIGTERM)
    register(tmp_path, boxed={"image": "a/b", "tag": TAG})
    service.start()
    assert (tmp_path / "called").exists()


def test_an_engine_that_is_stopped_may_be_started_again(program, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    error = fetch()
    assert "the engine is not running" in str(error)
    assert "systemctl start docker" in str(error)
    assert error.failure_type is FailureType.transient_error


def test_an_engine_on_another_machine_is_refused(program, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    error = fetch()
    assert "unset DOCKER_HOST" in str(error)
    assert error.failure_type is FailureType.config_error


def test_in_a_container_an_engine_outside_of_it_is_refused(program, tmp_path):
    separated = ["unshare", "--map-root-user", "--pid", "--fork"]
    need(subprocess.run([*separated, "true"], capture_output=True).returncode == 0, "no namespaces of processes here")
    code = "import logging; from airbyte_local.connectors.images import fetch;"
    code += " fetch('a/b:1', run='test', log=logging.getLogger())"
    with socket.socket(socket.AF_UNIX) as outside:
        outside.bind(str(tmp_path / "engine"))
        outside.listen()
        done = subprocess.run(
            [*separated, sys.executable, "-c", code],
            env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/engine", "PYTHONPATH": os.pathsep.join(PYTHONPATH)},
            capture_output=True,
            text=True,
        )
    assert "this service runs in a container" in done.stderr
    assert "run the stack directly on the machine" in done.stderr


def test_the_tag_latest_is_refused_since_syncs_would_not_be_repeatable(tmp_path):
    with pytest.raises(
        RegistryError, match=r"syncs would not be repeatable; use the tag of one version, such as 1\.2\.3"
    ):
        registered(tmp_path, image="airbyte/source-faker", tag="latest")


@pytest.mark.parametrize("name", ["airbyte/source-faker", "ghcr.io/a/b-c", "localhost:5000/a", "a"])
def test_an_image_of_any_registry_can_be_named(tmp_path, name):
    program = registered(tmp_path, image=name, tag="1.2.3-rc.1")
    assert (program, program.reference) == (Image(image=name, tag="1.2.3-rc.1"), f"{name}:1.2.3-rc.1")


@pytest.mark.parametrize(
    "image",
    [{"image": name, "tag": "1"} for name in ("", "--privileged", "a b", "A", "a:1", "a@sha256:1", "a\n")]
    + [{"image": "a", "tag": tag} for tag in ("", "-x", "1 2", "1\n", 1.1)]
    + [{"image": "a"}],
    ids=str,
)
def test_an_invalid_image_is_refused_with_the_allowed_forms(tmp_path, image):
    with pytest.raises(RegistryError, match=r"boxed: must be {module: …}, .* or {image: …, tag: …}"):
        registered(tmp_path, **image)
