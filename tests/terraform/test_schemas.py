"""The schemas that are read from the bindings are the provider's."""

import json

import pytest
from terraform_schemas import NestedBlock, schemas

USED = """
resource "google_storage_bucket" "any" {}
resource "google_sql_user" "any" {}
resource "google_container_cluster" "any" {}
resource "google_composer_environment" "any" {}
resource "google_not_at_all" "any" {}
data "google_project" "any" {}
"""


@pytest.fixture(scope="module")
def google():
    return schemas("google", USED)


def attributes(block):
    return {each.name: each for each in block.attributes}


def blocks(block):
    return {each.type_name: each for each in block.block_types}


def test_required_optional_and_computed_attributes(google):
    found = attributes(google.resource_schemas["google_storage_bucket"].block)
    assert {name for name, each in found.items() if each.required} == {"name", "location"}
    assert found["storage_class"].optional
    # What only the provider sets.
    assert {name for name in ("url", "self_link", "project_number") if not found[name].optional} == {
        "url",
        "self_link",
        "project_number",
    }


def test_types_of_attributes(google):
    found = attributes(google.resource_schemas["google_storage_bucket"].block)
    types = {name: json.loads(found[name].type) for name in ("name", "force_destroy", "project_number", "labels")}
    assert types == {"name": "string", "force_destroy": "bool", "project_number": "number", "labels": ["map", "string"]}


def test_nested_blocks_and_how_often_they_may_be_there(google):
    found = blocks(google.resource_schemas["google_storage_bucket"].block)
    assert (found["versioning"].nesting, found["versioning"].max_items) == (NestedBlock.LIST, 1)
    assert (found["lifecycle_rule"].nesting, found["lifecycle_rule"].max_items) == (NestedBlock.LIST, 0)
    rule = blocks(found["lifecycle_rule"].block)
    assert (rule["condition"].nesting, rule["condition"].min_items) == (NestedBlock.SET, 1)
    assert found["timeouts"].nesting == NestedBlock.SINGLE
    assert attributes(found["versioning"].block)["enabled"].required


def test_large_resources_that_are_spread_over_several_files(google):
    found = blocks(google.resource_schemas["google_container_cluster"].block)
    assert "workload_pool" in attributes(found["workload_identity_config"].block)


def test_values_that_are_computed_within_a_block(google):
    config = blocks(google.resource_schemas["google_composer_environment"].block)["config"].block
    assert not attributes(config)["airflow_uri"].optional


def test_passwords_that_are_written_only(google):
    found = attributes(google.resource_schemas["google_sql_user"].block)
    assert found["password_wo"].write_only
    assert not found["password_wo_version"].write_only


def test_data_sources(google):
    assert "number" in attributes(google.data_source_schemas["google_project"].block)


def test_a_type_that_does_not_exist_has_no_schema(google):
    assert "google_not_at_all" not in google.resource_schemas
