"""The image of the tasks: built here and pushed to the registry of a place; and what Artifact Registry has."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import replace

from deploy.gcloud import Gcloud, GcloudError
from stack.errors import StackError
from stack.settings import ROOT

# As docker/images names it.
TASKS = "mlops-tasks"
# REGION-docker.pkg.dev/PROJECT/REPOSITORY of Artifact Registry, and of an image also its path there and its digest.
_REPOSITORY = re.compile(r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/]+)/(?P<repository>[^/@]+)/?")
_IMAGE = re.compile(rf"{_REPOSITORY.pattern[:-1]}(?P<path>[^@]+)@(?P<digest>sha256:[0-9a-f]{{64}})")


def push(registry: str, gcloud: Gcloud) -> str | None:
    """Build and push the image; returns its reference by digest, None in a dry run, which prints the commands.

    Raises:
        StackError: Docker cannot build it, or the registry does not take it.
    """
    if found := _REPOSITORY.fullmatch(registry):
        remedy = "make it (docs/production.md, step 3), or correct deploy.registry"
        command = ["repositories", "describe", found["repository"]]
        _require(gcloud, found, command, f"there is no repository {registry}: {remedy}")
    login = f"gcloud auth configure-docker {registry.partition('/')[0]}"
    remedies = {
        ("docker/images",): "its messages are above; `make images` repeats it",
        ("docker/push", TASKS, f"{registry.rstrip('/')}/{TASKS}"): f"if the registry refuses you, run `{login}`, once",
    }
    out = ""
    for command, remedy in remedies.items():
        gcloud.console.print(f"{'$' if gcloud.is_dry else ' '} {' '.join(command)}", markup=False, highlight=False)
        if gcloud.is_dry:
            continue
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise StackError(f"{' '.join(command)} failed: {remedy}")
        out = done.stdout
    return out.split()[-1] if out else None


def check(images: Iterable[str], gcloud: Gcloud, remedy: str) -> None:
    """Check that Artifact Registry has images; those in other registries are left out.

    Raises:
        StackError: one is not there, so that no task could start; the message ends with `remedy`.
    """
    for image in images:
        if found := _IMAGE.fullmatch(image):
            command = ["versions", "describe", found["digest"], f"--repository={found['repository']}"]
            command.append(f"--package={found['path'].replace('/', '%2F')}")
            _require(gcloud, found, command, f"the registry has no image {image}: {remedy}")


def _require(gcloud: Gcloud, found: re.Match[str], command: list[str], told: str) -> None:
    """Ask Artifact Registry for a repository or an image; raises a StackError with `told` if there is none."""
    try:
        replace(gcloud, project=found["project"]).read("artifacts", *command, f"--location={found['location']}")
    except GcloudError as error:
        if error.is_missing:
            raise StackError(told) from None
        if not error.is_denied:
            raise
        # The caller need not be able to look into a registry that Composer may read.
        gcloud.console.print(f"  {found[0]} was not looked for: {error}", markup=False, highlight=False)
