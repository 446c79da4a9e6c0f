"""Copies of the Terraform modules in which terraform can be run."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "deploy" / "terraform"


def unable(reason):
    """Skip, or fail in CI, which has the programs."""
    (pytest.fail if "CI" in os.environ else pytest.skip)(reason)


class Module:
    """A copy of a module of deploy/terraform in a folder, initialised."""

    def __init__(self, folder, environment):
        self.folder = folder
        self._environment = environment
        # The real backend is a bucket.
        (folder / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
        self.run("init", "-input=false", "-no-color", check=True)

    def run(self, *arguments, check=False):
        """Run terraform; gives the completed process, its errors within its output."""
        done = subprocess.run(
            ["terraform", *map(str, arguments)],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0 or not check, done.stdout
        return done

    def message(self, *arguments):
        """Run terraform, which must fail; gives its output as one line of words."""
        done = self.run(*arguments, "-no-color")
        assert done.returncode, done.stdout
        return " ".join(done.stdout.replace("│", " ").split())

    def variables(self, **values):
        """Argument that sets variables."""
        file = self.folder / "test.tfvars.json"
        file.write_text(json.dumps(values))
        return f"-var-file={file.name}"

    def plan(self, *arguments):
        """The plan, as `terraform show -json` has it, and as the file that Terraform writes."""
        self.run("plan", "-input=false", "-no-color", "-out=plan", *arguments, check=True)
        return json.loads(self.run("show", "-json", "plan", check=True).stdout), (self.folder / "plan").read_bytes()
