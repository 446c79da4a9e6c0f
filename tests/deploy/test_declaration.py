"""Airbyte's declaration of a place: what a deploy refuses, and what the check tells without any secret."""

import pytest
import yaml

from deploy import check, declaration
from deploy.settings import Target
from stack.errors import StackError

SAMPLE = "gs://bucket/data/smoke"
GUIDE = "as docs/production.md does in step 6"


@pytest.fixture
def target(write_place):
    """The place `staging`."""
    write_place()
    return Target("staging")


@pytest.fixture
def change(overlay):
    """Function that changes keys of the overlay, or leaves them out."""

    def go(**keys):
        content = yaml.safe_load(overlay.read_text()) | keys
        overlay.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))

    return go


def both(target):
    """What a deploy and the check say; they have to agree."""
    with pytest.raises(StackError) as refused:
        declaration.declared(target, SAMPLE)
    (found,) = check._airbyte("staging")
    assert (found.state, found.found) == ("fail", str(refused.value))
    return found.found


def test_a_missing_overlay_is_told_with_the_step_that_writes_it(target, overlay):
    overlay.unlink()
    assert both(target) == (
        f"airbyte/connections.staging.yaml is missing, which names Airbyte, source and destination: write it, {GUIDE}"
    )


def test_an_overlay_without_a_destination_is_told(target, change):
    change(destinations=None)
    told = both(target)
    assert told.startswith(
        "airbyte/connections.staging.yaml leaves a destination that reads MLOPS_WAREHOUSE__DATABASE, "
    )
    assert told.endswith(f"which the warehouse here has not: declare its destination there, {GUIDE}")


def test_an_overlay_without_an_airbyte_is_told(target, change):
    change(airbyte=None)
    assert "names no Airbyte: give it airbyte: {url, clientId, clientSecret}" in both(target)


def test_a_destination_that_the_smoke_run_would_share_is_told(target, change):
    change(destinations=[{"name": "warehouse", "configuration": {"destinationType": "bigquery", "dataset_id": "raw"}}])
    assert "the smoke run would load into the place's own dataset" in both(target)


def test_a_wrong_overlay_is_a_line_of_the_check(target, change):
    change(conections=[])
    (found,) = check._airbyte("staging")
    assert (found.state, found.remedy) == ("fail", "correct the declaration (docs/airbyte.md)")
    assert "conections: " in found.found


def test_a_deploy_names_all_variables_that_are_not_set_and_the_check_does_without(target, monkeypatch):
    names = "AIRBYTE_CLIENT_SECRET, AIRBYTE_URL"
    with pytest.raises(StackError, match=f"needs {names}: set them in the environment of this command, {GUIDE}"):
        declaration.declared(target, SAMPLE)
    (found,) = check._airbyte("staging")
    assert found.state == "ok"
    assert found.found.endswith(f"; {names}, not set here, will have to be for a deploy")
    for name in names.split(", "):
        monkeypatch.setenv(name, "https://any")
    (found,) = check._airbyte("staging")
    assert found.found == "declares projects, tags, and the same for the smoke run in datasets of its own"
    assert declaration.declared(target, SAMPLE).real.airbyte.url == "https://any"


def test_the_preset_has_no_declaration():
    assert list(check._airbyte("composer")) == []
