"""docs/production.md: gcloud knows its command lines, and its names and roles are Terraform's."""

import json
import os
import re
import shutil
import subprocess

from terraform_testing import MODULES, ROOT, unable

PAGE = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
VARIABLES = {
    "place": "staging",
    "project": "demo-project",
    "cluster": {},
    "passwords": {
        name: "0123456789abcdef01234567"
        for name in ("mlflow_database", "mlflow_admin", "mlflow_key", "studies_database", "airbyte_database")
    },
}


def code(page):
    """The blocks of shell commands, which name no language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return "\n".join(text for language, text in blocks if not language)


def command_lines(page):
    """The calls of gcloud in blocks of code, also within another command, without what the shell does with them."""
    call = r"""(?:^|\$\(|\|)\s*(gcloud (?:"[^"]*"|'[^']*'|[^|>;#)])*)"""
    return [" ".join(each.split()) for line in code(page).splitlines() for each in re.findall(call, line)]


def filled(commands):
    """Commands with the values of the page's first step: gcloud checks some of them."""
    values = dict(re.findall(r"(\w+)=(\S+)", re.search(r"^export (STAGE=.+)$", PAGE, re.MULTILINE)[1]))
    assert values.keys() == {"STAGE", "PROJECT", "REGION"}
    return [re.sub(r"\$(STAGE|PROJECT|REGION)\b", lambda name: values[name[1]], each) for each in commands]


def refused(commands, folder):
    """What gcloud says of the command lines that it does not know."""
    if not shutil.which("gcloud"):
        unable("gcloud is missing here (https://cloud.google.com/sdk/docs/install)")
    file = folder / "commands.json"
    file.write_text(json.dumps([{"command_string": each} for each in commands]))
    environment = {
        "PATH": os.environ["PATH"],
        "CLOUDSDK_CONFIG": str(folder),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        # Whatever is asked of the network fails.
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    command = [shutil.which("gcloud"), "meta", "lint-gcloud-commands", f"--commands-file={file}"]
    # It creates the files that a command would write to.
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.stdout, done.stderr
    answers = json.loads(done.stdout)
    assert {each["command_string"] for each in answers} == set(commands)
    return {each["command_string"]: each["error_message"] for each in answers if not each["success"]}


def test_gcloud_knows_each_command_line_with_its_flags(tmp_path):
    commands = command_lines(PAGE)
    assert len(commands) == code(PAGE).count("gcloud ")
    assert refused(filled(commands), tmp_path) == {}


def test_a_misspelt_command_or_flag_is_found(tmp_path):
    wrong = [
        "gcloud composer environment describe any --location=here",
        "gcloud storage buckets create gs://any --uniform-bucket-level-acces",
        "gcloud secrets versions access",
    ]
    assert set(refused(wrong, tmp_path)) == set(wrong)


def test_calls_are_found_within_other_commands():
    lines = ['export A="$(gcloud a --b="$C")"', "x | gcloud c --d=-   # why", 'set -a; eval "$(gcloud e)"; set +a']
    page = "\n".join(["`gcloud no`", "```yaml", "gcloud no", "```", "", "```", *lines, "```", ""])
    assert command_lines(page) == ['gcloud a --b="$C"', "gcloud c --d=-", "gcloud e"]


def test_its_outputs_files_and_folders_exist():
    outputs = set(re.findall(r'^output "(\w+)"', (MODULES / "project" / "outputs.tf").read_text(), re.MULTILINE))
    named = set(re.findall(r"\boutput (?:-raw |-json )?(\w+)`?", PAGE)) - {"jsonpath"}
    named |= set(re.findall(r'"output", "-raw", "(\w+)"', PAGE))
    assert named
    assert named <= outputs
    folders = re.findall(r"-chdir=([\w/]+)", PAGE)
    assert folders
    assert all((ROOT / each).is_dir() for each in folders)


def test_its_table_has_the_roles_that_terraform_gives(module):
    documented = {
        (account, role)
        for account, roles in re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE)
        for role in re.findall(r"`(roles/[\w.]+)`", roles)
    }
    project = module("project")
    plan, _ = project.plan(project.variables(**VARIABLES))
    given = set()
    for each in plan["resource_changes"]:
        role = (each["change"]["after"] or {}).get("role")
        if role and each["name"] in ("all", "readers") and each["type"].endswith("_iam_member"):
            given.add((each["index"].split()[0], role))
        elif role and each["name"].startswith("deploy_"):
            given.add(("deploy", role))
    assert documented == given
