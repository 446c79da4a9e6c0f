"""A real Kubernetes for tests: the one that KUBECONFIG names, or our own, which tests may break."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from devtools.cluster.certificates import NODE
from devtools.cluster.cluster import Cluster, default_folder, locked, missing

ROOT = Path(__file__).resolve().parents[2]
# Seconds: longest time until a condition of a pod is true, on a busy machine; between two looks.
PATIENCE, LOOK = 180, 0.1
# In a cluster that KUBECONFIG names: an image of the tasks that its nodes can pull, by digest.
IMAGE = "MLOPS_TASKS_IMAGE"
TASKS = "mlops-tasks"


class Kubernetes:
    """A cluster with a namespace of its own for this session.

    Attributes:
        kubeconfig: file for the clients.
        namespace: its name.
    """

    def __init__(self, kubeconfig: Path, kubectl: str | Path, own: Cluster | None):
        self.kubeconfig, self.namespace = kubeconfig, f"mlops-test-{secrets.token_hex(4)}"
        self._program, self._own = str(kubectl), own

    def __enter__(self):
        self.kubectl("create", "namespace", self.namespace)
        # Until it exists, the API server refuses the namespace's pods.
        self.until(lambda: self.get("serviceaccount", "default"))
        return self

    def __exit__(self, *error):
        self.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def kubectl(self, *words, check=True, **options):
        """What kubectl prints, in this session's namespace."""
        command = [self._program, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *words]
        done = subprocess.run(command, capture_output=True, text=True, **options)
        assert not check or done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def watching(self, kind, output):
        """Each state of the objects of a kind inside of the block is written to a file, as JSON."""
        command = [self._program, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}"]
        command += ["get", kind, "--watch", "--output=json"]
        with subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL) as process:
            yield
            process.terminate()

    def get(self, kind, name):
        """An object as the API describes it, or None."""
        found = self.kubectl("get", kind, name, "--output=json", "--ignore-not-found")
        return json.loads(found) if found else None

    def create(self, manifest):
        """Create an object, and return its name."""
        done = self.kubectl("create", "--filename=-", "--output=json", input=json.dumps(manifest))
        return json.loads(done)["metadata"]["name"]

    def pod(self, image, *command, memory=None, **spec):
        """Create a pod that runs a command once, and return its name; `memory` is its limit, such as 50Mi."""
        container = {"name": "base", "image": image, "command": command}
        if memory:
            container["resources"] = {"limits": {"memory": memory}, "requests": {"memory": memory}}
        # No cluster has to have a DNS of its own.
        rest = {"restartPolicy": "Never", "dnsPolicy": "Default", "terminationGracePeriodSeconds": 1, **spec}
        name = f"pod-{secrets.token_hex(4)}"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"containers": [container], **rest},
        }
        return self.create(pod)

    def ended(self, pod):
        """The state of a pod's container once it has ended: exitCode, reason, message."""
        return self.until(lambda: self._terminated(pod))

    def _terminated(self, pod):
        statuses = self.get("pod", pod)["status"].get("containerStatuses", [{}])
        return statuses[0].get("state", {}).get("terminated")

    def until(self, condition, seconds=PATIENCE):
        """Wait until a condition is true, and return its answer."""
        deadline = time.monotonic() + seconds
        while not (answer := condition()):
            assert time.monotonic() < deadline, f"a condition is still not true after {seconds} s"
            time.sleep(LOOK)
        return answer

    @property
    def own(self) -> Cluster:
        """Our own cluster; skips the test in a cluster of somebody else's, which tests do not break."""
        return self._own or pytest.skip("only a cluster of the tests' own may be broken, and KUBECONFIG names another")

    @property
    def registry(self):
        """HOST:PORT of our own cluster's image registry."""
        return self.own.registry

    def push(self, image):
        """Push an image of the Docker engine to the registry, and return its reference by digest."""
        command = [ROOT / "docker" / "push", image, f"{self.registry}/{image.partition(':')[0]}"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def tasks_image(self):
        """Reference by digest of the image of the tasks."""
        if not self._own:
            return os.environ.get(IMAGE) or pytest.skip(
                f"KUBECONFIG names a cluster, and {IMAGE} no image in its reach"
            )
        if (lock := ROOT / "var" / "build" / "lock").exists():
            # A `make images` that is running has ended.
            subprocess.run(["flock", lock, "true"], check=True)
        if subprocess.run(["docker", "image", "inspect", TASKS], capture_output=True).returncode:
            unable(f"no image {TASKS}: run make images")
        return self.push(TASKS)

    @contextlib.contextmanager
    def without(self, program):
        """A program of our own cluster (kube-apiserver, kubelet, …) is stopped inside of the block."""
        self.own.process(program).stop()
        try:
            yield
        finally:
            self.own.start(program)

    @contextlib.contextmanager
    def cordoned(self):
        """No new pod is scheduled on our own cluster's node inside of the block."""
        self.own.kubectl("cordon", NODE)
        try:
            yield
        finally:
            self.own.kubectl("uncordon", NODE)

    @contextlib.contextmanager
    def tainted(self, taint):
        """The node of our own cluster has a taint, such as key=value:NoExecute, inside of the block."""
        self.own.kubectl("taint", "node", NODE, taint)
        try:
            yield
        finally:
            self.own.kubectl("taint", "node", NODE, f"{taint}-")

    @contextlib.contextmanager
    def quota(self, **hard):
        """The namespace has limits of its resources, such as pods=0, inside of the block."""
        name = f"quota-{secrets.token_hex(4)}"
        limits = ",".join(f"{resource}={limit}" for resource, limit in hard.items())
        self.kubectl("create", "quota", name, f"--hard={limits}")
        self.until(lambda: self.get("quota", name)["status"].get("hard"))
        try:
            yield
        finally:
            self.kubectl("delete", "quota", name)


@contextlib.contextmanager
def kubernetes():
    """The Kubernetes of this session; skips, or in CI fails, where there is none."""
    if kubeconfig := os.environ.get("KUBECONFIG"):
        kubectl = shutil.which("kubectl") or unable("kubectl not found, and KUBECONFIG names a cluster")
        with Kubernetes(Path(kubeconfig), kubectl, own=None) as given:
            yield given
        return
    if reason := missing():
        unable(reason)
    folder = default_folder()
    if "CI" in os.environ:
        # Or waits for the build that is running.
        subprocess.run([ROOT / "devtools" / "cluster" / "build", folder], check=True)
    elif not (folder / "built").exists():
        pytest.skip("no programs of a cluster: make cluster-up builds them, once")
    own = Cluster(folder)
    # A machine has one cluster, and tests break it: another session waits.
    with locked(folder):
        was_running = own.running()
        own.up()
        try:
            with Kubernetes(own.kubeconfig, own.kubectl_program, own) as started:
                yield started
        finally:
            if not was_running:
                own.down()


def unable(reason):
    """Skip the test, or fail it in CI, where all tools are installed."""
    (pytest.fail if "CI" in os.environ else pytest.skip)(reason)
