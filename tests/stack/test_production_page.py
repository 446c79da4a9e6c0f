"""docs/production.md: its files are ones that the settings and Airbyte's declaration accept, its make targets exist."""

import re
import subprocess
from types import SimpleNamespace

import pytest
import yaml

from airbyte_declaration.applications import described
from airbyte_declaration.declaration import load
from deploy import declaration
from pipeline.settings import Runner
from stack import airbyte, places
from stack.settings import ROOT

PAGE = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
VARIABLES = {
    name: "any"
    for name in (
        *(
            "AIRBYTE_CLIENT_ID",
            "AIRBYTE_CLIENT_SECRET",
            "AIRBYTE_URL",
            "BIGQUERY_KEY",
            "SOURCE_HOST",
            "SOURCE_PASSWORD",
        ),
        *("MLOPS_SOURCE", "MLOPS_WAREHOUSE__LOCATION", "MLOPS_WAREHOUSE__PREFIX", "MLOPS_WAREHOUSE__PROJECT"),
    )
}


def shown(file):
    """The block of the page that begins with the name of a file."""
    (text,) = re.findall(rf"^```yaml\n# {re.escape(file)}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return text


def test_its_overlay_of_airbyte_replaces_source_and_destination(tmp_path):
    overlay = tmp_path / "connections.staging.yaml"
    overlay.write_text(shown("airbyte/connections.staging.yaml"))
    applications = described([places.config("composer") | {"source": "any"}])
    declaration = load(ROOT / "airbyte" / "connections.yaml", VARIABLES, overlays=[overlay], applications=applications)
    types = [
        each.configuration.get("sourceType") or each.configuration["destinationType"]
        for each in (*declaration.sources, *declaration.destinations)
    ]
    assert types == ["postgres", "bigquery"]
    assert [each.source for each in declaration.connections] == ["files", "files"]
    assert declaration.airbyte
    # The smoke run sets another prefix.
    assert declaration.destinations[0].configuration["dataset_id"] == "anyraw"


def test_the_secret_of_deploys_has_what_the_overlay_reads():
    read = set(re.findall(r"\$\{(\w+)\}", shown("airbyte/connections.staging.yaml")))
    (lines,) = re.findall(r"^printf '%s=%q\\n' \\\n((?:  .+\n)+)", PAGE, re.MULTILINE)
    written = set(re.findall(r"^  ([A-Z_]+) ", lines, re.MULTILINE))
    assert written == {name for name in read if not name.startswith("MLOPS_")}


def test_the_line_of_a_secret_comes_back_as_it_was(tmp_path):
    value = "a 'quoted' \"$HOME\" `x`\nand a second line"
    script = """printf '%s=%q\\n' ONE "$1" TWO '…' >lines; eval "$(cat lines)"; printf %s "$ONE" """
    assert "printf '%s=%q\\n' \\" in PAGE
    done = subprocess.run(["bash", "-c", script, "bash", value], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == value


def test_a_load_reads_the_real_schema_and_the_smoke_run_the_one_with_a_few_rows(tmp_path, monkeypatch):
    outputs = (ROOT / "deploy" / "terraform" / "project" / "outputs.tf").read_text()
    schema, few = re.findall(r'\bsource += "(\w+)"', outputs)
    assert f"`source: {schema}` and `deploy: {{smoke: {{source: {few}}}}}`" in PAGE
    assert f"create schema {few};" in PAGE
    (tmp_path / "airbyte").mkdir()
    (tmp_path / "airbyte/connections.yaml").write_bytes((ROOT / "airbyte/connections.yaml").read_bytes())
    (tmp_path / "airbyte/connections.staging.yaml").write_text(shown("airbyte/connections.staging.yaml"))
    (tmp_path / "composer.yaml").write_bytes(places.path("composer").read_bytes())
    (tmp_path / "staging.yaml").write_text("preset: composer")
    monkeypatch.setattr(places, "FOLDER", tmp_path)
    monkeypatch.setattr(airbyte, "ROOT", tmp_path)
    for name in re.findall(r"\$\{(\w+)\}", shown("airbyte/connections.staging.yaml")):
        monkeypatch.setenv(name, "any")
    config = places.config("staging") | {"source": schema}
    config["warehouse"] |= {"project": "ours"}
    declared = declaration.declared(SimpleNamespace(place="staging", config=config, configs=[config]), few)
    schemas = [each.sources[0].configuration["schemas"] for each in (declared.real, declared.smoke)]
    assert schemas == [["public"], ["smoke"]]


@pytest.mark.parametrize("whole", [False, True], ids=["one task", "all tasks"])
def test_its_runner_on_a_cluster_of_ones_own_is_valid(whole):
    runner = places.config("composer")["runner"] | {"image": f"registry.test/tasks@sha256:{'0' * 64}"}
    own = yaml.safe_load(shown("config/places/staging.yaml"))["runner"]
    if whole:
        text = re.search(r"`(kubernetes: \{namespace: mlops[^`]+)`", PAGE)[1]
        runner["kubernetes"] |= yaml.safe_load(text)["kubernetes"]
        own["type"] = "gke"
    settings = Runner.model_validate(runner | own).of("train")
    assert settings.type == "gke"
    assert settings.gke.cluster == "mlops-staging"
    assert settings.kubernetes.node_selector == {"pool": "tasks"}
    assert settings.accelerators == {"nvidia.com/gpu": 1}


def rules():
    """The text of each target's rules in the Makefile, by its name."""
    found = {}
    for block in re.split(r"\n(?=\n|[a-z])", (ROOT / "Makefile").read_text()):
        if head := re.match(r"\s*([a-z][a-z -]*):", block):
            for name in head[1].split():
                found[name] = found.get(name, "") + block
    return found


def wrong_calls(text):
    """The calls of make in a text whose target does not exist or does not read a variable that is given."""
    known, calls = rules(), []
    # Prose has the word, too.
    call = r"(?:^\s*|`|run: |=\S+ )make ([a-z][a-z-]*)((?: +[A-Z_]+=[^\s`]+)*)"
    for target, rest in re.findall(call, text, re.MULTILINE):
        calls.append((target, re.findall(r"([A-Z_]+)=", rest)))
    # As tests/gcp calls it, with a place behind it.
    for words in re.findall(r"\.make\(([^)]+)\)", text):
        target, *rest = re.findall(r'"([^"]+)"', words)
        calls.append((target, ["PLACE", *(each.partition("=")[0] for each in rest)]))
    assert calls
    return [
        (target, names)
        for target, names in calls
        # The place of a check or bundle is in ON_COMPOSER.
        if not all(f"$({each})" in known.get(target, "").replace("$(ON_COMPOSER)", "$(PLACE)") for each in names)
        or target not in known
    ]


@pytest.mark.parametrize(
    "file", ["docs/production.md", "docs/composer.md", ".github/workflows/composer.yml", "tests/gcp/test_promotion.py"]
)
def test_the_make_targets_and_variables_that_are_named_exist(file):
    assert wrong_calls((ROOT / file).read_text(encoding="utf-8")) == []


def test_a_target_or_variable_that_does_not_exist_is_found():
    calls = "make deploy PLACE=a DRY_RUN=1\nmake depoly PLACE=a\n`make deploy-status TO=x` `make deploy-rollback TO=y`"
    assert wrong_calls(calls) == [("depoly", ["PLACE"]), ("deploy-status", ["TO"])]
    assert wrong_calls('it.make("composer-check", "PREINSTALED=x")') == [("composer-check", ["PLACE", "PREINSTALED"])]


def test_a_smoke_run_has_the_datasets_that_terraform_makes():
    text = (ROOT / "deploy" / "terraform" / "project" / "bigquery.tf").read_text()
    assert re.findall(r'setproduct\(\["", "(.*?)"\]', text) == [declaration.DATASETS]
