"""Commands in pods: every way in which a pod can end, wait or be lost."""

import asyncio
import json

import pytest

pytest.importorskip("airflow.providers.cncf.kubernetes")

import os
import signal
import threading
import time
from pathlib import Path

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from kubernetes.client import models as k8s
from pod_testing import GO, WAITS_FOR_GO, Case, configure

from pipeline.runners.pods import watch
from pipeline.settings import Runner

ROOT = Path(__file__).resolve().parents[2]
LEAVES_ON_TERM = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('ready', flush=True); wait()"
IGNORES_TERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); wait()"
FILLS_MEMORY = "x = bytearray(300 << 20)"
NOWHERE = "sha256:" + "0" * 64
NO_CONFIG_MAP = k8s.V1EnvFromSource(config_map_ref=k8s.V1ConfigMapEnvSource(name="no-such-map"))


@pytest.fixture(scope="module")
def settings(cluster, tasks_image):
    """Function that gives the settings of a runner in the cluster; keywords of `kubernetes` have the prefix k_."""
    os.environ["AIRFLOW_CONN_KUBERNETES_DEFAULT"] = "kubernetes://"
    # A folder of this machine would be mounted.
    os.environ["MLOPS_ARTIFACTS"] = "gs://no-bucket/artifacts"

    def make(**given):
        own = {name.removeprefix("k_"): given.pop(name) for name in list(given) if name.startswith("k_")}
        where = {"namespace": cluster.namespace, "kubeconfig": str(cluster.kubeconfig), "host_network": True, **own}
        return Runner.model_validate(
            {"type": "kubernetes", "image": tasks_image, "start_timeout": 120, "kubernetes": where} | given
        )

    before = os.environ.get("MLOPS_RUNNER")
    configure(make())
    yield make
    os.environ.pop("MLOPS_RUNNER") if before is None else os.environ.update(MLOPS_RUNNER=before)


def pods(cluster, case):
    """Names of the pods of a case; None: the API server does not answer."""
    found = cluster.kubectl("get", "pods", case.selector, "--output=json", check=False)
    return [pod["metadata"]["name"] for pod in json.loads(found)["items"]] if found else None


def gone(cluster, case):
    """Wait until a case has no pod any more."""
    cluster.until(lambda: pods(cluster, case) == [])


def ready(cluster, case):
    """Wait until the command of a case has said so, and return its pod."""

    def pod():
        names = pods(cluster, case) or []
        return next((name for name in names if "ready" in cluster.kubectl("logs", name, "base", check=False)), None)

    return cluster.until(pod)


def has_ended(cluster, pod):
    """Whether the command of a pod has ended; its sidecar has not."""
    statuses = {each["name"]: each["state"] for each in cluster.get("pod", pod)["status"]["containerStatuses"]}
    return "terminated" in statuses["base"]


def delete(*options):
    """What deletes the pod of a case once it is ready."""
    return lambda cluster, case: cluster.kubectl("delete", "pod", ready(cluster, case), "--wait=false", *options)


# Each row: the command, keywords of the case, settings, what is done to it, the error and parts of its message.
RETRY, NEVER = AirflowException, AirflowFailException
ROWS = {
    # The longest first.
    "silent registry": (
        "",
        *({}, {"start_timeout": 30, "image": f"127.0.0.1:9/x@{NOWHERE}"}, None, RETRY, ["refused", "start_timeout"]),
    ),
    "exit 3": ("succeed(); print('last words'); sys.exit(3)", {}, {}, None, RETRY, ["ended with 3", "last words"]),
    "no result": ("pass", {}, {}, None, RETRY, ["wrote no result"]),
    "no JSON": ("result.write_text('hello')", {}, {}, None, RETRY, ["not JSON", "hello"]),
    "no JSON object": ("result.write_text('[1]')", {}, {}, None, RETRY, ["not a JSON object", "[1]"]),
    "bad data": ("succeed(error='row 7: no title'); sys.exit(1)", {}, {}, None, NEVER, ["row 7: no title"]),
    "service away": ("succeed(error='MLflow is away'); sys.exit(75)", {}, {}, None, RETRY, ["MLflow is away"]),
    "message": (
        "pathlib.Path('/dev/termination-log').write_text('the disk of the node is full'); sys.exit(4)",
        *({}, {}, None, RETRY, ["ended with 4", "the disk of the node is full"]),
    ),
    "deleted, exit 0": (LEAVES_ON_TERM, {}, {}, delete(), RETRY, ["the pod was deleted"]),
    "deleted, TERM ignored": (IGNORES_TERM, {}, {}, delete("--grace-period=2"), RETRY, ["the pod was deleted"]),
    "deleted by force": (IGNORES_TERM, {}, {}, delete("--force", "--grace-period=0"), RETRY, ["deleted"]),
    "evicted": (
        "pathlib.Path('/tmp/big').write_bytes(bytes(20 << 20)); wait()",
        *({}, {"accelerators": {"ephemeral-storage": 5 << 20}}, None, RETRY, ["Evicted", "ephemeral"]),
    ),
    "out of memory": (FILLS_MEMORY, {}, {"memory": "64Mi"}, None, RETRY, ["137", "OOMKilled", "64Mi", ".memory"]),
    "out of memory, child": (
        f"subprocess.run([sys.executable, '-c', '{FILLS_MEMORY}'])",
        *({}, {"memory": "64Mi"}, None, RETRY, ["OOMKilled", "64Mi", ".memory"]),
    ),
    "unschedulable": ("", {}, {"start_timeout": 5, "cpu": "900"}, None, RETRY, ["Insufficient cpu", "start_timeout"]),
    "no such node": (
        "",
        *({}, {"start_timeout": 3, "k_node_selector": {"no": "such-node"}}, None, RETRY, ["Unschedulable", "match"]),
    ),
    "no secret": ("", {}, {"k_secret": "no-such-secret"}, None, NEVER, ['"no-such-secret" not found']),
    "no ConfigMap": ("", {"changes": {"env_from": [NO_CONFIG_MAP]}}, {}, None, NEVER, ['"no-such-map" not found']),
    "no account": ("", {}, {"k_service_account": "nobody"}, None, NEVER, ["no service account", "nobody"]),
    "unknown command": ("", {"program": "no-such"}, {}, None, NEVER, ["127", "no-such"]),
    "pod's deadline": ("wait()", {"changes": {"active_deadline_seconds": 3}}, {}, None, RETRY, ["DeadlineExceeded"]),
    "execution_timeout": ("wait()", {"limit": 5}, {}, None, RETRY, ["Timeout", "execution_timeout"]),
}
DEFERRABLE = (
    "no result",
    "bad data",
    "deleted, exit 0",
    "deleted by force",
    "out of memory",
    "unschedulable",
    "no secret",
    "execution_timeout",
)


@pytest.fixture(scope="module")
def ran(cluster, settings):
    """All cases of the table, which run at the same time."""
    cases = {}
    for name, (body, options, given, _, _, _) in ROWS.items():
        cases[name] = Case(settings(**given), body, **options).start()
        if name in DEFERRABLE:
            cases[f"{name}, deferrable"] = Case(settings(**given, k_deferrable=True), body, **options).start()
    # In somebody else's cluster there is no registry that surely answers.
    if cluster._own:
        cases["absent image"] = Case(settings(image=f"{cluster.registry}/no-such-image@{NOWHERE}"), "").start()
    for name, case in cases.items():
        row = ROWS.get(name.removesuffix(", deferrable"))
        if row and row[3]:
            threading.Thread(target=row[3], args=(cluster, case), daemon=True).start()
    return cases


@pytest.mark.parametrize("name", [*ROWS, *(f"{name}, deferrable" for name in DEFERRABLE)])
def test_a_pod_that_did_not_do_its_work_is_a_failure_with_its_reason(cluster, ran, name):
    *_, kind, parts = ROWS[name.removesuffix(", deferrable")]
    case = ran[name].ended()
    assert type(case.error) is kind, (case.error, case.recorder.text)
    missing = [part for part in parts if part not in str(case.error)]
    assert not missing, str(case.error)
    assert case.xcoms["report"]["note"]
    gone(cluster, case)


def test_an_absent_image_fails_at_once(ran, cluster):
    if "absent image" not in ran:
        pytest.skip("KUBECONFIG names a cluster whose registry is not known")
    case = ran["absent image"].ended()
    assert type(case.error) is NEVER, case.error
    assert "no-such-image" in str(case.error)
    assert "runner.image" in str(case.error)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_command_returns_its_result_and_its_log_is_the_tasks_log(cluster, settings, deferrable):
    body = """
for number in range(30):
    print("line", number, flush=True)
    time.sleep(0.1)
succeed(rows=3, big="ü" * 300000, report={"rows_out": 3})
print("no newline", end="")
"""
    case = Case(settings(k_deferrable=deferrable), body).start().ended()
    assert case.error is None, case.recorder.text
    assert case.result == {"rows": 3, "big": "ü" * 300000}
    assert case.xcoms == {"report": {"rows_out": 3}}
    lines = [line for line in case.log if line.startswith(("line", "no newline"))]
    assert lines == [*(f"line {number}" for number in range(30)), "no newline"]
    gone(cluster, case)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_quota_is_waited_for(cluster, settings, deferrable):
    with cluster.quota(pods=0):
        case = Case(settings(k_deferrable=deferrable), "succeed(rows=3)").start()
        cluster.until(lambda: "exceeded quota" in case.recorder.text)
    assert case.ended().result == {"rows": 3}, case.error


def test_a_quota_that_stays_full_fails_and_can_be_tried_again(cluster, settings):
    with cluster.quota(pods=0):
        case = Case(settings(start_timeout=3), "succeed(rows=3)").start().ended()
    assert type(case.error) is RETRY
    assert "exceeded quota" in str(case.error)
    assert "start_timeout" in str(case.error)


COUNTS = """
print("ready", flush=True)
for number in range(30):
    print("line", number, flush=True)
    time.sleep(0.5)
succeed(rows=3)
"""


def counted(case):
    """Assert that a case came to its end with each line of its log once."""
    assert case.ended().result == {"rows": 3}, (case.error, case.recorder.text)
    assert [line for line in case.log if line.startswith("line")] == [f"line {number}" for number in range(30)]


def test_a_restarted_kubelet_is_outlived(cluster, settings):
    running = [Case(settings(k_deferrable=deferrable), COUNTS).start() for deferrable in (False, True)]
    for case in running:
        ready(cluster, case)
    with cluster.without("kubelet"):
        time.sleep(3)
    for case in running:
        counted(case)


def test_a_lost_node_is_a_failure_that_can_be_tried_again(cluster, settings, monkeypatch):
    monkeypatch.setattr(watch, "LOST", 3)
    case = Case(settings(), "print('ready', flush=True); wait()", changes={"termination_grace_period": 1}).start()
    ready(cluster, case)
    # The node controller gives a node that does not report such a taint, which deletes its pods.
    with cluster.without("kubelet"), cluster.tainted("does-not=report:NoExecute"):
        error = case.ended().error
    assert type(error) is RETRY, (error, case.recorder.text)
    assert "the pod was deleted" in str(error)
    assert "its node" in str(error)
    assert "does not answer" in str(error)
    gone(cluster, case)


@pytest.mark.parametrize("seconds", [7, pytest.param(50, marks=pytest.mark.slow)])
def test_an_api_server_that_is_away_is_outlived(cluster, settings, seconds):
    """While the pods run, and while they end."""
    running = [Case(settings(k_deferrable=deferrable), COUNTS).start() for deferrable in (False, True)]
    for case in running:
        ready(cluster, case)
    with cluster.without("kube-apiserver"):
        time.sleep(seconds)
    for case in running:
        counted(case)
        gone(cluster, case)


@pytest.mark.parametrize(
    ("deferrable", "is_done"),
    [(False, False), (False, True), (True, False), pytest.param(True, True, marks=pytest.mark.slow)],
)
def test_the_pod_of_a_killed_worker_is_taken_up_and_its_work_is_not_repeated(cluster, settings, deferrable, is_done):
    """Whether it has ended meanwhile, or not."""
    body = f"{WAITS_FOR_GO}; succeed(rows=3)"
    other = Case(settings(k_deferrable=deferrable), body, attempt=2)
    worker = other.worker(settings())
    pod = ready(cluster, other)
    go = ("exec", pod, "--container=base", "--", *GO)
    # It is stopped first, so that it cannot see the end of its pod.
    os.kill(worker.pid, signal.SIGSTOP)
    if is_done:
        cluster.kubectl(*go)
        cluster.until(lambda: has_ended(cluster, pod))
    worker.kill()
    worker.wait()
    other.start()
    if not is_done:
        cluster.until(lambda: "has not ended" in other.recorder.text)
        cluster.kubectl(*go)
    assert other.ended().error is None, (other.error, other.recorder.text)
    assert f"Taking up the pod {pod}" in other.recorder.text
    assert "Started" not in other.recorder.text
    gone(cluster, other)


@pytest.mark.slow
def test_a_killed_task_deletes_its_pod(cluster, settings):
    case = Case(settings(), "print('ready', flush=True); wait()").start()
    ready(cluster, case)
    case.task.on_kill()
    assert type(case.ended().error) is RETRY
    gone(cluster, case)


@pytest.mark.slow
@pytest.mark.parametrize(("state", "is_deleted"), [("failed", True), ("deferred", False)])
def test_a_sleeping_task_that_is_ended_deletes_its_pod_but_a_restarted_triggerer_does_not(
    cluster, settings, monkeypatch, state, is_deleted
):
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    case = Case(settings(k_deferrable=True), f"{WAITS_FOR_GO}; succeed(rows=3)").start()
    pod = ready(cluster, case)
    cluster.until(lambda: case.trigger)
    states = {case.run_id: {case.task_id: state}}
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: states))
    case.trigger.task_instance = case.instance
    asyncio.run(case.trigger.cleanup())
    if is_deleted:
        gone(cluster, case)
        assert type(case.ended().error) is RETRY
    else:
        cluster.kubectl("exec", pod, "--container=base", "--", *GO)
        assert case.ended().result == {"rows": 3}
