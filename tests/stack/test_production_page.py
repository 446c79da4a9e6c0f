"""The files that docs/production.md shows are ones that the settings and Airbyte's declaration accept."""

import re

import pytest
import yaml

from airbyte_declaration.declaration import load
from pipeline.settings import Runner
from stack import places
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
    declaration = load(ROOT / "airbyte" / "connections.yaml", VARIABLES, overlays=[overlay])
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
    written = set(re.findall(r"""^  echo "(\w+)='""", PAGE, re.MULTILINE))
    assert written == {name for name in read if not name.startswith("MLOPS_")}


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
