"""The programs of a cluster and their arguments. Everything listens on 127.0.0.1, and lies in the cluster's folder."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from devtools.cluster.certificates import NODE

PORTS = ("etcd", "etcd-peers", "api-server", "controller-manager", "scheduler", "kubelet", "kubelet-health", "registry")
PAUSE = "mlops-cluster-pause"
# Seconds until a node that does not answer is not ready, and until its pods are deleted then.
NODE_GRACE, EVICTION = 12, 10


def _flags(**values: object) -> list[str]:
    """Keyword arguments as flags: bind_address="…" is --bind-address=…, True is true."""
    words = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
    return [f"--{name.replace('_', '-')}={value}" for name, value in words.items()]


def _etcd(run: Path, ports: dict[str, int]) -> list[str]:
    clients, peers = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd-peers"))
    return _flags(
        name="mlops",
        data_dir=run / "etcd",
        log_level="warn",
        logger="zap",
        listen_client_urls=clients,
        advertise_client_urls=clients,
        listen_peer_urls=peers,
        initial_advertise_peer_urls=peers,
        initial_cluster=f"mlops={peers}",
        # The data is deleted with the cluster, so it need not survive a loss of power.
        unsafe_no_fsync=True,
    )


def images(run: Path) -> Path:
    """Where the registry has the images: beside the cluster's folder, so that a layer is compressed and pushed once."""
    return run.with_name("registry")


def _registry(run: Path, ports: dict[str, int]) -> list[str]:
    configuration = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(images(run))}},
        "http": {"addr": f"127.0.0.1:{ports['registry']}"},
    }
    path = run / "registry.yaml"
    # JSON is YAML, too.
    path.write_text(json.dumps(configuration))
    return ["serve", str(path)]


def _api_server(run: Path, ports: dict[str, int]) -> list[str]:
    certificates = run / "certificates"
    return _flags(
        etcd_servers=f"http://127.0.0.1:{ports['etcd']}",
        bind_address="127.0.0.1",
        secure_port=ports["api-server"],
        insecure_port=0,
        # The service `kubernetes` would need an address that is not 127.0.0.1.
        endpoint_reconciler_type="none",
        service_cluster_ip_range="10.96.0.0/24",
        authorization_mode="Node,RBAC",
        client_ca_file=certificates / "ca.crt",
        tls_cert_file=certificates / "api-server.crt",
        tls_private_key_file=certificates / "api-server.key",
        kubelet_client_certificate=certificates / "api-server-client.crt",
        kubelet_client_key=certificates / "api-server-client.key",
        kubelet_certificate_authority=certificates / "ca.crt",
        kubelet_preferred_address_types="Hostname",
        service_account_key_file=certificates / "service-accounts.crt",
        service_account_signing_key_file=certificates / "service-accounts.key",
        service_account_issuer="https://kubernetes.default.svc",
        default_not_ready_toleration_seconds=EVICTION,
        default_unreachable_toleration_seconds=EVICTION,
    )


def _controller_manager(run: Path, ports: dict[str, int]) -> list[str]:
    return _flags(
        kubeconfig=run / "controller-manager.kubeconfig",
        bind_address="127.0.0.1",
        port=0,
        secure_port=ports["controller-manager"],
        leader_elect=False,
        use_service_account_credentials=True,
        service_account_private_key_file=run / "certificates" / "service-accounts.key",
        root_ca_file=run / "certificates" / "ca.crt",
        flex_volume_plugin_dir=run / "volume-plugins",
        node_monitor_period="2s",
        node_monitor_grace_period=f"{NODE_GRACE}s",
    )


def _scheduler(run: Path, ports: dict[str, int]) -> list[str]:
    return _flags(
        kubeconfig=run / "scheduler.kubeconfig",
        bind_address="127.0.0.1",
        port=0,
        secure_port=ports["scheduler"],
        leader_elect=False,
    )


def _kubelet(run: Path, ports: dict[str, int]) -> list[str]:
    certificates = run / "certificates"
    return _flags(
        kubeconfig=run / "kubelet.kubeconfig",
        root_dir=run / "kubelet",
        hostname_override=NODE,
        address="127.0.0.1",
        port=ports["kubelet"],
        read_only_port=0,
        healthz_bind_address="127.0.0.1",
        healthz_port=ports["kubelet-health"],
        client_ca_file=certificates / "ca.crt",
        anonymous_auth=False,
        authorization_mode="Webhook",
        authentication_token_webhook=True,
        tls_cert_file=certificates / "kubelet-server.crt",
        tls_private_key_file=certificates / "kubelet-server.key",
        container_runtime="docker",
        container_runtime_endpoint=f"unix://{run / 'dockershim.sock'}",
        experimental_dockershim_root_directory=run / "dockershim",
        volume_plugin_dir=run / "volume-plugins",
        cni_cache_dir=run / "cni-cache",
        # Docker's own network.
        network_plugin="",
        pod_infra_container_image=PAUSE,
        cgroup_driver=_docker_info("{{.CgroupDriver}}"),
        # The machine's other processes are not put into groups.
        cgroups_per_qos=False,
        enforce_node_allocatable="",
        fail_swap_on=False,
        oom_score_adj=0,
        make_iptables_util_chains=False,
        # The kubelet never deletes images: they are other people's, too.
        image_gc_high_threshold=100,
        image_gc_low_threshold=99,
        eviction_hard="memory.available<50Mi",
        node_status_update_frequency="3s",
        sync_frequency="10s",
        serialize_image_pulls=False,
    )


def _docker_info(template: str) -> str:
    return subprocess.run(
        ["docker", "info", "--format", template], capture_output=True, text=True, check=True
    ).stdout.strip()


# By name, in the order of their start: what gives a program's arguments from the folder and the ports of the cluster.
PROGRAMS: dict[str, Callable[[Path, dict[str, int]], list[str]]] = {
    "etcd": _etcd,
    "docker-registry": _registry,
    "kube-apiserver": _api_server,
    "kube-controller-manager": _controller_manager,
    "kube-scheduler": _scheduler,
    "kubelet": _kubelet,
}
