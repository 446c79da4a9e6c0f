"""The workflow of GitHub Actions: valid, without keys, and production only after an approval."""

import re
import subprocess
import sys

import pytest
import yaml
from terraform_testing import ROOT

FILE = ROOT / ".github" / "workflows" / "composer.yml"
PRODUCTION = "startsWith(github.ref, 'refs/tags/') && 'production' || 'staging'"


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(FILE.read_text())


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def valid(file):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", file]
    return subprocess.run(command, capture_output=True, text=True)


def test_it_is_valid_for_githubs_schema():
    done = valid(FILE)
    assert not done.returncode, done.stdout


def test_a_misspelt_key_is_not_valid(tmp_path):
    other = tmp_path / "composer.yml"
    other.write_text(FILE.read_text().replace("runs-on: ubuntu", "run-on: ubuntu"))
    assert valid(other).returncode


def test_there_is_no_key_and_no_secret_of_github():
    text = FILE.read_text()
    assert "secrets." not in text
    assert "credentials_json" not in text


def test_only_the_deployment_may_ask_for_a_token(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["check"]
    assert workflow["jobs"]["deploy"]["permissions"] == {"contents": "read", "id-token": "write"}


def test_a_pull_request_is_checked_and_not_deployed(workflow):
    check, deploy = workflow["jobs"]["check"], workflow["jobs"]["deploy"]
    assert "github.event_name == 'pull_request'" in check["if"]
    assert "github.event_name != 'pull_request'" in deploy["if"]
    assert check["steps"][-1]["run"].startswith("make composer-check PLACE=staging ")
    # `on` is a boolean in YAML 1.1; of pull_request_target others' code would have our rights.
    assert set(workflow[True]) == {"pull_request", "push", "workflow_dispatch"}
    assert workflow[True]["push"] == {"branches": ["main"], "tags": ["v*"]}


def test_a_tag_is_deployed_to_production_with_its_approval_and_main_to_staging(workflow):
    deploy = workflow["jobs"]["deploy"]
    assert deploy["environment"] == f"${{{{ {PRODUCTION} }}}}"
    assert deploy["env"]["PLACE"] == f"${{{{ {PRODUCTION} }}}}"
    assert deploy["concurrency"] == {"group": f"composer-${{{{ {PRODUCTION} }}}}", "cancel-in-progress": False}
    assert "refs/heads/main" in deploy["if"]
    runs = [step["run"] for step in deploy["steps"] if "run" in step]
    assert "git merge-base --is-ancestor HEAD origin/main" in runs
    assert runs[-3].startswith('make composer-check PLACE="$PLACE" ')
    assert runs[-2].endswith('make deploy PLACE="$PLACE"\n')


def test_actions_are_pinned_by_commit(workflow):
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each) for each in used)


def test_the_list_of_packages_is_the_one_that_the_guide_writes(workflow):
    file = workflow["env"]["PREINSTALLED"]
    assert f"make composer-packages PLACE=staging PREINSTALLED={file}" in (ROOT / "docs" / "production.md").read_text()


def test_nothing_of_an_event_is_put_into_a_command(workflow):
    assert not [step["run"] for step in steps(workflow) if "${{" in step.get("run", "")]
