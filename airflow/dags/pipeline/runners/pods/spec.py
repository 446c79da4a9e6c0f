"""The pod of a command: what our settings add to the provider's pod."""

import os
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.cncf.kubernetes.utils.xcom_sidecar import PodDefaults, add_xcom_sidecar
from kubernetes.client import models as k8s

from pipeline.runners import environment
from pipeline.settings import Runner

# A k8s.V1Pod; by the client's types each of its parts may be missing, by Kubernetes' rules these are not.
Pod = Any
BASE = "base"
SIDECAR = PodDefaults.SIDECAR_CONTAINER_NAME
RESULT = f"{PodDefaults.XCOM_MOUNT_PATH}/return.json"
LABELS = {"app": "mlops"}
# The image's user, as in docker/Dockerfile.
USER = 10001
# Seconds that a command has to end after TERM.
GRACE = 30
_SECURITY = {
    "allow_privilege_escalation": False,
    "read_only_root_filesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def arguments(runner: Runner, program: list[str], seconds: float) -> dict[str, Any]:
    """Arguments of the provider's operator.

    Args:
        runner: the task's settings.
        program: the command line in the image, without `--result`.
        seconds: after which the kubelet ends the pod, in case that nobody else does.
    """
    where = runner.kubernetes
    limits = {"cpu": runner.cpu, "memory": runner.memory, **{key: str(n) for key, n in runner.accelerators.items()}}
    resources = {key: value for key, value in limits.items() if value}
    plain, _ = environment.variables()
    mounts = [k8s.V1VolumeMount(name="tmp", mount_path="/tmp")]  # noqa: S108 - in the container
    volumes = [k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource())]
    if where.claim:
        source = k8s.V1PersistentVolumeClaimVolumeSource(claim_name=where.claim)
        volumes.append(k8s.V1Volume(name="artifacts", persistent_volume_claim=source))
        mounts.append(k8s.V1VolumeMount(name="artifacts", mount_path=_artifacts()))
    elif where.host_network and "://" not in _artifacts():
        # The node is this machine. A missing folder is an error, so that a node elsewhere does not make one.
        folder = k8s.V1HostPathVolumeSource(path=_artifacts(), type="Directory")
        volumes.append(k8s.V1Volume(name="artifacts", host_path=folder))
        mounts.append(k8s.V1VolumeMount(name="artifacts", mount_path=_artifacts()))
    secret = where.secret and k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=where.secret))
    return {
        "namespace": where.namespace,
        "image": runner.image,
        "image_pull_policy": "IfNotPresent",
        "cmds": program[:1],
        "arguments": [*program[1:], "--result", RESULT],
        "env_vars": plain,
        "env_from": [secret] if secret else [],
        # By which a retry finds its pod, beside those of its run: another Airflow may have a run of the same id.
        "labels": LABELS | ({"mlops-instance": runner.instance} if runner.instance else {}),
        "container_resources": k8s.V1ResourceRequirements(requests=resources, limits=resources),
        "volumes": volumes,
        "volume_mounts": mounts,
        "service_account_name": where.service_account,
        "automount_service_account_token": False,
        "node_selector": where.node_selector,
        "tolerations": [k8s.V1Toleration(**each.model_dump(exclude_none=True)) for each in where.tolerations],
        "hostnetwork": where.host_network,
        "dnspolicy": "Default" if where.host_network else "ClusterFirst",
        "security_context": {
            "runAsNonRoot": True,
            "runAsUser": where.user or USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "container_security_context": k8s.V1SecurityContext(**_SECURITY),
        "termination_grace_period": GRACE,
        # The last words of a command that fails without a message of its own.
        "termination_message_policy": "FallbackToLogsOnError",
        "active_deadline_seconds": int(seconds),
        "deferrable": where.deferrable,
        # The sidecar is added by `complete`, with our image.
        "do_xcom_push": False,
    }


def complete(given: Pod) -> Pod:
    """Add what the provider's operator has no argument for: the sidecar that holds the result, from our image."""
    pod: Pod = add_xcom_sidecar(
        given,
        sidecar_container_image=given.spec.containers[0].image,
        sidecar_container_resources=k8s.V1ResourceRequirements(
            requests={"cpu": "10m", "memory": "16Mi"}, limits={"cpu": "100m", "memory": "64Mi"}
        ),
    )
    sidecar = pod.spec.containers[1]
    sidecar.image_pull_policy = "IfNotPresent"
    # Version 10.11 has no argument for it.
    sidecar.security_context = k8s.V1SecurityContext(**_SECURITY)
    # Kubernetes would add variables for each service, such as MLFLOW_PORT=tcp://…
    pod.spec.enable_service_links = False
    # Composer refuses pods with affinity, even an empty one.
    pod.spec.affinity = None
    return pod


def _artifacts() -> str:
    """The folder that the commands read as `artifacts`."""
    root = os.environ.get("MLOPS_ARTIFACTS", f"{environment.VAR}/artifacts")
    return urlsplit(root).path if root.startswith("file://") else root
