"""docker/images: what it does without an engine, registry, debootstrap or mirror, and what it passes to the build."""

import os
import shutil
import signal
import subprocess
import uuid

import pytest
from docker_testing import run, wait_until

pytestmark = pytest.mark.xdist_group("scripts")

BASES = ["python:3.11-slim-bookworm", "postgres:17"]
TOOLS = "awk bash cat df dirname env find flock id mkdir mktemp paste rm sed sleep tail timeout tr"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
# Neither the images nor a registry are available.
DOCKER = """
echo "$@" >>"$0.log"
case "$1 $2" in
  "image inspect" | "inspect "*) exit 1 ;;
  "pull "*) echo "no such host" >&2; exit 1 ;;
esac
"""
DOCKER_WITH_BASES = """
echo "$@" >>"$0.log"
[ "$1 $2" != "compose build" ] || echo "built with $BUILD_CERTIFICATES and $BUILD_PIP_CONF"
"""
SERVICE = """
services:
  made: &made {image: "$IMAGE", build: {context: ., secrets: [certificates, pip]}}
  # The script names it, since it is no service of the stack.
  tasks: {<<: *made, profiles: [tasks]}
secrets:
  certificates: {file: "${BUILD_CERTIFICATES:-/dev/null}"}
  pip: {file: "${BUILD_PIP_CONF:-/dev/null}"}
"""
SEES = "PIP_CERT PIP_CONFIG_FILE UV_DEFAULT_INDEX UV_INDEX UV_INSECURE_HOST UV_HTTP_TIMEOUT"
# BuildKit's cache ignores secrets, but not IMAGE, which is new each time.
DOCKERFILE = f"""
FROM {BASES[0]}
RUN --mount=type=secret,id=certificates --mount=type=secret,id=pip \\
    --mount=type=bind,source=docker/package-settings,target=/package-settings \\
    : IMAGE && /package-settings sh -c 'printenv {SEES}; grep -c BODY $SSL_CERT_FILE' | sed 's/:[^:]*@/:hidden@/' >/seen
"""


class Script:
    """docker/images with the given programs in place of this machine's."""

    def __init__(self, tree, folder):
        self.tree, self.programs, self.temporary = tree, folder / "programs", folder / "temporary"
        self.path = str(tree / "docker" / "images")
        self.environment = {"PATH": str(self.programs), "TMPDIR": str(self.temporary)}
        self.programs.mkdir()
        self.temporary.mkdir()
        for tool in TOOLS.split():
            (self.programs / tool).symlink_to(shutil.which(tool))
        self.give("id", "echo 0")
        self.give("docker", DOCKER)

    def give(self, name, lines):
        """Write a program of these shell commands."""
        (self.programs / name).unlink(missing_ok=True)
        (self.programs / name).write_text(f"#!/bin/sh\n{lines}\n")
        (self.programs / name).chmod(0o755)

    def run(self, **variables):
        """The finished script."""
        return run(self.path, env={**self.environment, **variables}, check=False)

    def start(self):
        """The running script in a process group of its own."""
        return subprocess.Popen([self.path], env=self.environment, start_new_session=True, stdout=subprocess.DEVNULL)

    def calls(self):
        """The calls of docker, one string each."""
        return (self.programs / "docker.log").read_text().splitlines()

    def secret(self, name):
        """The text of a secret; only its owner may read the file."""
        path = self.tree / "var" / "build" / name
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        return path.read_text()


@pytest.fixture
def script(tree, tmp_path):
    """docker/images as root without base images, registry and debootstrap."""
    return Script(tree, tmp_path)


def test_without_docker_its_package_is_named(script):
    (script.programs / "docker").unlink()
    done = script.run()
    assert (done.returncode, "install Docker Engine" in done.stderr) == (1, True)


def test_without_an_engine_the_way_to_start_one_is_named(script):
    script.give("docker", "exit 1")
    done = script.run()
    assert (done.returncode, "systemctl start docker" in done.stderr) == (1, True)


def test_without_compose_its_packages_are_named(script):
    script.give("docker", '[ "$1" != compose ]')
    done = script.run()
    assert (done.returncode, "docker-compose-plugin" in done.stderr) == (1, True)


def test_base_images_that_are_present_are_kept_and_ours_are_built(script):
    script.give("docker", DOCKER_WITH_BASES)
    done = script.run()
    assert done.returncode == 0, done.stderr
    assert [f"{image}: present" in done.stdout for image in BASES] == [True, True]
    assert not [line for line in script.calls() if line.startswith(("pull", "build", "image rm"))]
    assert {"compose build", "compose build tasks"} <= set(script.calls())
    folder = script.tree / "var" / "build"
    assert f"built with {folder}/certificates.pem and {folder}/pip.conf" in done.stdout


def test_without_the_stand_in_of_postgres_the_script_fails_after_ours_are_built(script):
    script.give("docker", DOCKER.replace('"image inspect"', '"image inspect"*postgres*').replace("$1 $2", "$1 $2 $3"))
    done = script.run()
    assert done.returncode == 1
    assert "compose build" in script.calls()
    assert "postgres:17 is missing" in done.stderr.splitlines()[-1]


def test_a_pull_is_tried_first_and_reported(script):
    script.give("docker", DOCKER.replace('"pull "*) echo "no such host" >&2; exit 1 ;;', ""))
    done = script.run()
    assert done.returncode == 0, done.stderr
    assert [f"{image}: pulled" in done.stdout for image in BASES] == [True, True]
    assert [line for line in script.calls() if line.startswith("build")] == []


@pytest.mark.parametrize(
    ("programs", "remedy"),
    [
        ({"id": "echo 1000"}, "sudo -E make images"),
        ({}, "install debootstrap"),
        ({"debootstrap": "", "df": "echo Avail; echo 1999"}, "needs 2 GB"),
        ({"debootstrap": "exit 1"}, "set a mirror that responds"),
    ],
    ids=["not root", "no debootstrap", "little disk", "no mirror"],
)
def test_a_problem_with_a_stand_in_is_reported_with_the_fix_and_leaves_no_files(script, programs, remedy):
    for name, lines in programs.items():
        script.give(name, lines)
    done = script.run()
    assert done.returncode == 1
    assert "cannot be pulled: no such host" in done.stdout
    assert any(line.startswith(BASES[0]) and remedy in line for line in done.stderr.splitlines())
    assert list(script.temporary.iterdir()) == []
    assert not [line for line in script.calls() if line.startswith(("build", "compose build"))]


def test_ctrl_c_leaves_no_files_of_a_stand_in(script):
    script.give("debootstrap", 'for i; do root=$before before=$i; done; mkdir -p "$root"; exec sleep 600')
    with script.start() as process:
        wait_until(lambda: len(list(script.temporary.glob("*/root"))) == len(BASES))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) != 0
    wait_until(lambda: list(script.temporary.iterdir()) == [])


def test_the_last_lines_of_debootstrap_are_shown(script):
    script.give("debootstrap", "echo E: Failed getting release file; exit 1")
    assert "E: Failed getting release file" in script.run().stderr


@pytest.mark.parametrize("source", ["variables", "files"])
def test_pip_s_settings_are_passed_on_without_paths_of_this_machine(script, source):
    settings = {
        "index-url": "https://a:b@index.invalid/simple",
        "extra-index-url": "https://one.invalid/simple https://two.invalid/simple",
        "find-links": "/opt/wheels https://three.invalid/wheels file:///opt/more",
        "trusted-host": "index.invalid",
        "proxy": "http://proxy.invalid:3128",
        "timeout": "77",
        "cert": "/etc/company.pem",
        "cache-dir": "/var/cache",
    }
    script.give("docker", DOCKER_WITH_BASES)
    variables = {}
    if source == "variables":
        variables = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in settings.items()}
    else:
        lines = [f"global.{name}='{value}'" for name, value in settings.items()]
        two = lines[1].replace(" ", "\\n")  # as pip prints a value of two lines
        output = "\n".join([*lines[:1], two, *lines[2:]])
        script.give("python3", f"cat <<'END'\n{output}\nEND")
    assert script.run(**variables).returncode == 0
    assert script.secret("pip.conf").splitlines() == [
        "[global]",
        "index-url = https://a:b@index.invalid/simple",
        "extra-index-url = https://one.invalid/simple https://two.invalid/simple",
        "find-links = https://three.invalid/wheels",
        "trusted-host = index.invalid",
        "proxy = http://proxy.invalid:3128",
        "timeout = 77",
    ]


def test_uv_s_indexes_are_used_if_pip_has_none(script):
    script.give("docker", DOCKER_WITH_BASES)
    variables = {"UV_DEFAULT_INDEX": "https://index.invalid/simple", "UV_INDEX": "ours=https://one.invalid/simple?a=b"}
    assert script.run(**variables).returncode == 0
    assert script.secret("pip.conf").splitlines() == [
        "[global]",
        "index-url = https://index.invalid/simple",
        "extra-index-url = https://one.invalid/simple?a=b",
    ]


def test_certificates_of_the_system_and_of_pip_are_passed_on_once_each(script, tmp_path):
    script.give("docker", DOCKER_WITH_BASES)
    (tmp_path / "a.pem").write_text(f"# a comment\n{CERTIFICATE.format('AAAA')}{CERTIFICATE.format('BBBB')}")
    (tmp_path / "b.pem").write_text(CERTIFICATE.format("BBBB") + CERTIFICATE.format("CCCC"))
    assert script.run(SSL_CERT_FILE=str(tmp_path / "a.pem"), PIP_CERT=str(tmp_path / "b.pem")).returncode == 0
    lines = script.secret("certificates.pem").splitlines()
    assert [lines.count(body) for body in ("AAAA", "BBBB", "CCCC", "# a comment")] == [1, 1, 1, 0]


@pytest.mark.usefixtures("base_images")
def test_a_build_sees_certificates_and_indexes_and_no_layer_contains_them(tree, tmp_path):
    secret = uuid.uuid4().hex
    (tmp_path / "ca.pem").write_text(CERTIFICATE.format(f"BODY{secret}"))
    (tree / "docker-compose.yml").write_text(SERVICE)
    image = f"mlops-test-{uuid.uuid4().hex}"
    (tree / "Dockerfile").write_text(DOCKERFILE.replace("IMAGE", image))
    (tree / ".dockerignore").write_text("var\n")
    environment = {
        **os.environ,
        "IMAGE": image,
        "COMPOSE_PROJECT_NAME": image,
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
        "PIP_INDEX_URL": f"https://name:{secret}@index.invalid/simple",
        "PIP_EXTRA_INDEX_URL": "https://one.invalid/simple https://two.invalid/simple",
        "PIP_TRUSTED_HOST": "index.invalid",
        "PIP_TIMEOUT": "77",
    }
    try:
        run(str(tree / "docker" / "images"), env=environment)
        seen = run("docker", "run", "--rm", "--network=none", image, "cat", "/seen").stdout.splitlines()
        assert seen == [
            "/run/secrets/certificates",
            "/run/secrets/pip",
            "https://name:hidden@index.invalid/simple",
            "https://one.invalid/simple https://two.invalid/simple",
            "index.invalid",
            "77",
            "1",
        ]
        assert secret not in run("docker", "history", "--no-trunc", image).stdout
        assert secret not in run("docker", "inspect", image).stdout
        assert run("sh", "-c", f"docker save {image} | grep --text --count {secret}", check=False).stdout == "0\n"
    finally:
        run("docker", "image", "rm", "--force", image)
