"""Certificates of a cluster on 127.0.0.1, and the kubeconfig files of those who talk to its API server."""

import base64
import json
import subprocess
from pathlib import Path

# They are deleted with the cluster.
DAYS = 3650
NODE = "localhost"
API_NAMES = "IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc"
# By file name: subject, use, and the names of a server.
LEAVES = {
    "api-server": ("/CN=kube-apiserver", "serverAuth", API_NAMES),
    "kubelet-server": (f"/CN={NODE}", "serverAuth", f"IP:127.0.0.1,DNS:{NODE}"),
    "api-server-client": ("/O=system:masters/CN=kube-apiserver-kubelet-client", "clientAuth", ""),
    "service-accounts": ("/CN=service-accounts", "clientAuth", ""),
    "admin": ("/O=system:masters/CN=admin", "clientAuth", ""),
    "controller-manager": ("/CN=system:kube-controller-manager", "clientAuth", ""),
    "scheduler": ("/CN=system:kube-scheduler", "clientAuth", ""),
    "kubelet": (f"/O=system:nodes/CN=system:node:{NODE}", "clientAuth", ""),
}


def create(folder: Path) -> None:
    """Write NAME.crt and NAME.key of the authority `ca` and of each of LEAVES, where they are missing."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if not (folder / "ca.crt").exists():
        _openssl(
            folder, "ca", "/CN=mlops-cluster", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"
        )
    for name, (subject, use, names) in LEAVES.items():
        if not (folder / f"{name}.crt").exists():
            extensions = ["basicConstraints=CA:FALSE", f"extendedKeyUsage={use}"]
            extensions += [f"subjectAltName={names}"] if names else []
            _openssl(folder, name, subject, *extensions, signed=True)


def _openssl(folder: Path, name: str, subject: str, *extensions: str, signed: bool = False) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", subject, "-days", str(DAYS), "-keyout", f"{name}.key", "-out", f"{name}.new"]
    command += ["-CA", "ca.crt", "-CAkey", "ca.key"] if signed else []
    for extension in extensions:
        command += ["-addext", extension]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / f"{name}.new").rename(folder / f"{name}.crt")


def write_kubeconfig(path: Path, certificates: Path, name: str, server: str) -> None:
    """Write a kubeconfig with which `name` talks to the API server; only its owner may read it."""

    def data(file: str) -> str:
        return base64.b64encode((certificates / file).read_bytes()).decode()

    user = {"client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")}
    context = {"cluster": "mlops", "user": name, "namespace": "default"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "mlops", "cluster": {"server": server, "certificate-authority-data": data("ca.crt")}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "mlops", "context": context}],
        "current-context": "mlops",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
