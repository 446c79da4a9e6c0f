"""`python3 -m devtools.cluster up` and `… down`: see docs/cluster.md."""

import argparse
import subprocess
import sys
from pathlib import Path

from devtools.cluster.cluster import Cluster, default_folder, locked, missing
from devtools.cluster.processes import ClusterError


def main() -> None:
    """Build, start or stop the cluster of this machine."""
    parser = argparse.ArgumentParser(prog="python3 -m devtools.cluster", description=main.__doc__)
    parser.add_argument("command", choices=["build", "up", "down"])
    command, folder = parser.parse_args().command, default_folder()
    cluster = Cluster(folder)
    try:
        # Building takes minutes.
        if command == "up" and (problem := missing()):
            raise ClusterError(problem)
        if command != "down":
            subprocess.run([Path(__file__).with_name("build"), folder], check=True)
        with locked(folder):
            if command == "up":
                cluster.up()
                print(f"export KUBECONFIG={cluster.kubeconfig}")
                print(f"# kubectl: {cluster.kubectl_program}; registry: {cluster.registry}")
            elif command == "down":
                cluster.down()
    except ClusterError as error:
        sys.exit(f"the cluster: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
