"""Start and stop the one cluster of a machine: etcd, a registry, the control plane and a node on Docker."""

import contextlib
import fcntl
import json
import os
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devtools.cluster import certificates
from devtools.cluster.certificates import NODE
from devtools.cluster.processes import ClusterError, Process, comes_true
from devtools.cluster.programs import PAUSE, PORTS, PROGRAMS, images
from devtools.ports import free_port

# Seconds until a program that was started answers, on a busy machine.
START = 180
# Bytes of images that the registry keeps from one cluster to the next.
IMAGES = 3e9
# Docker's label of the containers that belong to a kubelet's pods: each kubelet on Docker takes all for its own.
POD = "io.kubernetes.pod.uid"
# Taints that the node controller sets, and takes away some time after the node is ready.
UNREADY = {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}
POD_LOGS, CONTAINER_LOGS = Path("/var/log/pods"), Path("/var/log/containers")


def default_folder() -> Path:
    """Where the programs and the running cluster are: MLOPS_CLUSTER, or a folder of the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MLOPS_CLUSTER") or Path(cache) / "mlops-cluster")


def missing() -> str | None:
    """Why this machine cannot run a cluster, or None."""
    if os.geteuid():
        return "the kubelet needs root, which mounts the pods' volumes"
    if tools := [name for name in ("docker", "openssl", "mount") if not shutil.which(name)]:
        return f"{', '.join(tools)} not found (Debian: apt install docker.io openssl mount)"
    if _run("docker", "info", check=False).returncode:
        return "the Docker engine does not respond: start it (systemctl start docker), or check `docker info`"
    return None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Inside of the block nobody else starts, stops or tests the cluster in `folder`; waits for those who do."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "in-use").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Cluster:
    """The cluster in a folder, running or not.

    Attributes:
        kubeconfig: file with which an administrator talks to it.
    """

    def __init__(self, folder: Path):
        """Use the programs in `folder`/bin, and keep all that runs in `folder`/run."""
        self._binaries, self._state = folder / "bin", folder / "run"
        self.kubeconfig = self._state / "admin.kubeconfig"

    def running(self) -> bool:
        """Whether all its programs run."""
        return self._state.exists() and all(self.process(name).running() for name in PROGRAMS)

    def up(self) -> None:
        """Start what is not running, and wait until pods can be created; the programs have been built.

        Raises:
            ClusterError: something is missing, or does not start.
        """
        if problem := missing():
            raise ClusterError(problem)
        if not self._state.exists() and (pods := _run("docker", "ps", "--quiet", f"--filter=label={POD}").stdout):
            raise ClusterError(f"Docker runs pods of another kubelet, which ours would end: {' '.join(pods.split())}")
        self._prepare()
        for name in PROGRAMS:
            self.start(name)
        # Until it exists, the API server refuses pods of the namespace.
        account = ("get", "serviceaccount", "default")
        _wait(lambda: self.kubectl(*account, check=False).returncode == 0, "no account for pods is created")

    def down(self) -> None:
        """Stop the programs, and delete pods, data and certificates; images in the registry stay."""
        if not self._state.exists():
            return
        self.process("kubelet").stop()
        for container in _run("docker", "ps", "--all", "--quiet", f"--filter=label={POD}").stdout.split():
            uid = _run("docker", "inspect", "--format", f'{{{{index .Config.Labels "{POD}"}}}}', container, check=False)
            _run("docker", "rm", "--force", "--volumes", container, check=False)
            _delete_logs(uid.stdout.strip())
        for name in reversed(PROGRAMS):
            self.process(name).stop()
        # What pods ran from our registry; the images' other names stay.
        names = _run("docker", "image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}").stdout.split()
        for name in [each for each in names if each.startswith(f"{self.registry}/")]:
            _run("docker", "image", "rm", name, check=False)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([each for each in mounts if Path(each).is_relative_to(self._state)]):
            _run("umount", mount)
        # Whole or not at all: from half a folder nothing could start.
        deleted = self._state.with_name("deleted")
        shutil.rmtree(deleted, ignore_errors=True)
        self._state.rename(deleted)
        shutil.rmtree(deleted)

    def start(self, name: str) -> None:
        """Start a program unless it is running, and wait until it answers; the kubelet, until its node takes pods."""
        process, since = self.process(name), datetime.now(UTC)
        if process.running():
            since = datetime.min.replace(tzinfo=UTC)
        process.start([self._binaries / name, *PROGRAMS[name](self._state, self._ports)])
        address = {
            "etcd": f"http://127.0.0.1:{self._ports['etcd']}/health",
            "docker-registry": f"http://{self.registry}/v2/",
            "kube-apiserver": f"{self._server}/readyz",
            "kubelet": f"http://127.0.0.1:{self._ports['kubelet-health']}/healthz",
        }.get(name)
        if address:
            authority = ssl.create_default_context(cafile=self._certificates / "ca.crt")
            _wait(lambda: _answers(address, authority), f"{name} does not answer: see {process.log}")
        if name == "kubelet":
            _wait(lambda: self._node_ready(since), f"the node is not ready: see {process.log}")

    def process(self, name: str) -> Process:
        """A program of the cluster, such as kube-apiserver or kubelet; stop it, then `start` it again."""
        return Process(self._state, name)

    def kubectl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the cluster's administrator; its output is text."""
        return _run(self.kubectl_program, f"--kubeconfig={self.kubeconfig}", *words, check=check)

    @property
    def kubectl_program(self) -> Path:
        """The kubectl of the cluster's version."""
        return self._binaries / "kubectl"

    @property
    def registry(self) -> str:
        """HOST:PORT of the image registry."""
        return f"127.0.0.1:{self._ports['registry']}"

    def _prepare(self) -> None:
        """Ports, certificates, kubeconfig files and the image of each pod's first container."""
        self._state.mkdir(parents=True, exist_ok=True)
        if not (self._state / "ports.json").exists():
            ports = {name: free_port() for name in PORTS}
            (self._state / "ports.json").write_text(json.dumps(ports))
            files = [file.stat().st_size for file in images(self._state).rglob("*") if file.is_file()]
            if sum(files) > IMAGES:
                shutil.rmtree(images(self._state))
        certificates.create(self._certificates)
        for name in ("admin", "controller-manager", "scheduler", "kubelet"):
            certificates.write_kubeconfig(self._state / f"{name}.kubeconfig", self._certificates, name, self._server)
        if _run("docker", "image", "inspect", PAUSE, check=False).returncode:
            layer = _run("tar", "-C", self._binaries, "-c", "pause", text=False).stdout
            change = ["--change", 'ENTRYPOINT ["/pause"]', "--change", "USER 65535:65535"]
            _run("docker", "import", *change, "-", PAUSE, input=layer, text=False)

    @property
    def _certificates(self) -> Path:
        return self._state / "certificates"

    @property
    def _server(self) -> str:
        return f"https://127.0.0.1:{self._ports['api-server']}"

    @property
    def _ports(self) -> dict[str, int]:
        return json.loads((self._state / "ports.json").read_text())

    def _node_ready(self, since: datetime) -> bool:
        """Whether the kubelet has reported that it is ready, and the taints of a node that is not are gone."""
        found = self.kubectl("get", "node", NODE, "--output=json", check=False)
        if found.returncode:
            return False
        node = json.loads(found.stdout)
        ready = next(each for each in node["status"]["conditions"] if each["type"] == "Ready")
        taints = {taint["key"] for taint in node["spec"].get("taints", [])}
        # The API's times are whole seconds.
        reported = datetime.fromisoformat(ready["lastHeartbeatTime"]) >= since.replace(microsecond=0)
        return reported and ready["status"] == "True" and not taints & UNREADY


def _run(*command: Any, check: bool = True, text: bool = True, **options: Any) -> subprocess.CompletedProcess:
    done = subprocess.run(command, capture_output=True, text=text, **options)
    if check and done.returncode:
        raise ClusterError(f"`{' '.join(map(str, command))}` failed: {done.stderr}")
    return done


def _wait(condition: Callable[[], bool], problem: str) -> None:
    if not comes_true(condition, START):
        raise ClusterError(f"{problem} ({START} s after its start)")


def _answers(address: str, authority: ssl.SSLContext) -> bool:
    context = authority if address.startswith("https") else None
    try:
        with urllib.request.urlopen(address, timeout=5, context=context) as answer:  # noqa: S310 - our own address
            return answer.status == 200
    except OSError:
        return False


def _delete_logs(uid: str) -> None:
    """Delete what a kubelet writes about a pod outside of its folder."""
    for folder in POD_LOGS.glob(f"*_{uid}"):
        for link in CONTAINER_LOGS.iterdir():
            if link.is_symlink() and Path(os.readlink(link)).is_relative_to(folder):
                link.unlink()
        shutil.rmtree(folder)
