"""docker/images: what it does without an engine, registry, debootstrap or mirror, and what it hands to the build."""

import os
import shutil
import signal
import subprocess
import tarfile
import uuid

import pytest
from docker_testing import run, wait_until

BASES = ["python:3.11-slim-bookworm", "postgres:17"]
TOOLS = "awk bash cat df dirname env find id mkdir mktemp paste rm sed sleep tail timeout touch tr"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
# What says no to everything that docker/images asks of a registry.
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
  made: {image: "$IMAGE", build: {context: ., secrets: [certificates, pip]}}
secrets:
  certificates: {file: "${BUILD_CERTIFICATES:-/dev/null}"}
  pip: {file: "${BUILD_PIP_CONF:-/dev/null}"}
"""
SEES = "PIP_CERT PIP_CONFIG_FILE UV_DEFAULT_INDEX UV_INDEX UV_INSECURE_HOST UV_HTTP_TIMEOUT"
# Secrets are no part of what BuildKit remembers a step by; IMAGE, which is new each time, is.
DOCKERFILE = f"""
FROM {BASES[0]}
RUN --mount=type=secret,id=certificates --mount=type=secret,id=pip \\
    --mount=type=bind,source=docker/package-settings,target=/package-settings \\
    : IMAGE && /package-settings sh -c 'printenv {SEES}; grep -c BODY $SSL_CERT_FILE' | sed 's/:[^:]*@/:hidden@/' >/seen
"""


class Script:
    """docker/images with the given programs instead of this machine's."""

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
        """Make a program of these lines of shell."""
        (self.programs / name).unlink(missing_ok=True)
        (self.programs / name).write_text(f"#!/bin/sh\n{lines}\n")
        (self.programs / name).chmod(0o755)

    def run(self, **variables):
        """The finished script."""
        return run(self.path, env={**self.environment, **variables}, check=False)

    def begun(self):
        """The script as a process, with a process group of its own."""
        return subprocess.Popen([self.path], env=self.environment, start_new_session=True, stdout=subprocess.DEVNULL)

    def asked(self):
        """What docker was asked to do, one line each."""
        return (self.programs / "docker.log").read_text().splitlines()

    def secret(self, name):
        """The text of a secret, which nobody else may read."""
        path = self.tree / "var" / "build" / name
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        return path.read_text()


@pytest.fixture
def script(tree, tmp_path):
    """docker/images as root where neither base image is there, nor a registry, nor debootstrap."""
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


def test_base_images_that_are_there_stay_and_ours_are_built(script):
    script.give("docker", DOCKER_WITH_BASES)
    done = script.run()
    assert done.returncode == 0, done.stderr
    assert [f"{image} is there" in done.stdout for image in BASES] == [True, True]
    assert not [line for line in script.asked() if line.startswith(("pull", "build", "image rm"))]
    folder = script.tree / "var" / "build"
    assert f"built with {folder}/certificates.pem and {folder}/pip.conf" in done.stdout


def test_a_pull_is_tried_first_and_told(script):
    script.give("docker", DOCKER.replace('"pull "*) echo "no such host" >&2; exit 1 ;;', ""))
    done = script.run()
    assert done.returncode == 0, done.stderr
    assert [f"{image} is there, pulled" in done.stdout for image in BASES] == [True, True]
    assert [line for line in script.asked() if line.startswith("build")] == []


@pytest.mark.parametrize(
    ("programs", "remedy"),
    [
        ({"id": "echo 1000"}, "sudo -E make images"),
        ({}, "install debootstrap"),
        ({"debootstrap": "", "df": "echo Avail; echo 1999"}, "2 GB"),
        ({"debootstrap": "exit 1"}, "name a mirror that answers"),
    ],
    ids=["not root", "no debootstrap", "little disk", "no mirror"],
)
def test_what_hinders_a_stand_in_is_told_with_the_remedy_and_leaves_nothing(script, programs, remedy):
    for name, lines in programs.items():
        script.give(name, lines)
    done = script.run()
    assert done.returncode == 1
    assert "cannot be pulled: no such host" in done.stdout
    assert remedy in done.stderr.splitlines()[-1]
    assert list(script.temporary.iterdir()) == []
    assert not [line for line in script.asked() if line.startswith(("build", "compose build"))]


def test_ctrl_c_leaves_nothing_of_a_stand_in(script):
    script.give("debootstrap", 'for i; do root=$before before=$i; done; mkdir -p "$root"; exec sleep 600')
    with script.begun() as process:
        wait_until(lambda: list(script.temporary.glob("*/root")))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) != 0
    assert list(script.temporary.iterdir()) == []


def test_the_last_words_of_debootstrap_are_shown(script):
    script.give("debootstrap", "echo E: Failed getting release file; exit 1")
    assert "E: Failed getting release file" in script.run().stderr


@pytest.mark.parametrize("source", ["variables", "files"])
def test_pip_s_settings_are_handed_on_without_paths_of_this_machine(script, source):
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


def test_uv_s_indexes_count_where_pip_has_none(script):
    script.give("docker", DOCKER_WITH_BASES)
    variables = {"UV_DEFAULT_INDEX": "https://index.invalid/simple", "UV_INDEX": "ours=https://one.invalid/simple?a=b"}
    assert script.run(**variables).returncode == 0
    assert script.secret("pip.conf").splitlines() == [
        "[global]",
        "index-url = https://index.invalid/simple",
        "extra-index-url = https://one.invalid/simple?a=b",
    ]


def test_certificates_of_the_system_and_of_pip_are_handed_on_once_each(script, tmp_path):
    script.give("docker", DOCKER_WITH_BASES)
    (tmp_path / "a.pem").write_text(f"# a comment\n{CERTIFICATE.format('AAAA')}{CERTIFICATE.format('BBBB')}")
    (tmp_path / "b.pem").write_text(CERTIFICATE.format("BBBB") + CERTIFICATE.format("CCCC"))
    assert script.run(SSL_CERT_FILE=str(tmp_path / "a.pem"), PIP_CERT=str(tmp_path / "b.pem")).returncode == 0
    lines = script.secret("certificates.pem").splitlines()
    assert [lines.count(body) for body in ("AAAA", "BBBB", "CCCC", "# a comment")] == [1, 1, 1, 0]


@pytest.mark.usefixtures("base_images")
def test_a_build_sees_certificates_and_indexes_and_no_layer_keeps_them(tree, tmp_path):
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
        assert list(holding(secret, image)) == []
    finally:
        run("docker", "image", "rm", "--force", image)


def holding(text, image):
    """Names of the files, in all of an image's layers, that hold a text; `docker save` has tars in a tar."""
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as saved:
            for member in (each for each in saved if each.isfile()):
                if text.encode() in saved.extractfile(member).read():
                    yield member.name
        process.stdout.read()
