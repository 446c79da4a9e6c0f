"""The image of the tasks, built here and pushed to the registry of a place."""

import subprocess

from deploy.gcloud import Gcloud
from stack.errors import StackError
from stack.settings import ROOT

# As docker/images names it.
TASKS = "mlops-tasks"


def push(registry: str, gcloud: Gcloud) -> str | None:
    """Build and push the image; returns its reference by digest, None in a dry run, which prints the commands.

    Raises:
        StackError: Docker cannot build it, or the registry does not take it.
    """
    commands = [["docker/images"], ["docker/push", TASKS, f"{registry.rstrip('/')}/{TASKS}"]]
    out = ""
    for command in commands:
        gcloud.console.print(f"{'$' if gcloud.is_dry else ' '} {' '.join(command)}", markup=False, highlight=False)
        if gcloud.is_dry:
            continue
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            login = f"gcloud auth configure-docker {registry.partition('/')[0]}"
            raise StackError(f"{' '.join(command)} failed; a registry that refuses the caller wants `{login}`, once")
        out = done.stdout
    return out.split()[-1] if out else None
