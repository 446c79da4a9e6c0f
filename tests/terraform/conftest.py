"""Terraform, and copies of the modules, on providers that have the real schemas."""

import functools
import json
import os
import shutil
import subprocess

import pytest
from terraform_testing import MODULES, Module, unable

OLDEST = (1, 11)


@pytest.fixture(scope="session")
def terraform(tmp_path_factory):
    """Environment of terraform's processes: no network, no settings of the person, providers with the real schemas."""
    if not shutil.which("terraform"):
        unable("terraform is missing here (https://developer.hashicorp.com/terraform/install)")
    version = json.loads(subprocess.run(["terraform", "version", "-json"], capture_output=True, check=True).stdout)
    if tuple(map(int, version["terraform_version"].split(".")[:2])) < OLDEST:
        unable(f"terraform {version['terraform_version']} is too old: 1.11 has write-only arguments")
    from terraform_provider import providers

    text = "".join(path.read_text() for path in MODULES.glob("*/*.tf"))
    settings = tmp_path_factory.mktemp("terraform") / "terraform.rc"
    settings.touch()
    with providers(text) as reattach:
        yield {
            "PATH": os.environ["PATH"],
            "HOME": str(settings.parent),
            "TF_CLI_CONFIG_FILE": str(settings),
            "CHECKPOINT_DISABLE": "1",
            # Whatever is asked of the network fails.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            **reattach,
        }


@pytest.fixture
def module(terraform, tmp_path):
    """Function that copies a module; a change is (file, text, other text): the first such text is replaced."""

    @functools.cache
    def copy(name, *changes):
        folder = tmp_path / name
        shutil.copytree(MODULES / name, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        for file, text, other in changes:
            before = (folder / file).read_text()
            assert text in before, f"{file} has no {text!r}"
            (folder / file).write_text(before.replace(text, other, 1))
        return Module(folder, terraform)

    return copy
