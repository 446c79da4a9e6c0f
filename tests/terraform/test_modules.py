"""The modules are valid, can be planned, and keep passwords out of what Terraform stores."""

import json
import subprocess

import pytest
from terraform_testing import MODULES, ROOT

PASSWORDS = {
    name: f"{name.replace('_', '-')}-{'0123456789abcdef'}"
    for name in ("mlflow_database", "mlflow_admin", "mlflow_key", "studies_database", "airbyte_database")
}
PROJECT = {"project": "demo-project", "passwords": PASSWORDS}
EVERYTHING = {
    "mlflow": {"image": f"europe-west1-docker.pkg.dev/demo-project/mlops-staging/mlops-mlflow@sha256:{'ab' * 32}"},
    "budget": {"billing_account": "012345-6789AB-CDEF01", "amount": 500, "emails": ["a@example.com"]},
    "github_repository": "our/mlops",
    "cluster": {"machine_type": "g2-standard-8", "accelerators": {"type": "nvidia-l4", "count": 1}},
    "airbyte": "cluster",
}
CLUSTER = {
    "context": "gke_demo-project_europe-west1_mlops-staging",
    "passwords": PASSWORDS,
    "outputs": {
        "accounts": {"composer": "composer@demo", "pods": "pods@demo", "airbyte": "airbyte@demo"},
        "airbyte": "cluster",
        "database_address": "10.40.0.3",
    },
}


def statuses(module):
    """The status of each run of `terraform test`, and what is wrong."""
    events = [json.loads(line) for line in module.run("test", "-json").stdout.splitlines()]
    runs = {
        each["test_run"]["run"]: each["test_run"]["status"]
        for each in events
        if each["type"] == "test_run" and each["test_run"].get("progress") == "complete"
    }
    return runs, [each["diagnostic"]["detail"] for each in events if each["type"] == "diagnostic"]


def failed_runs(module):
    return {name for name, status in statuses(module)[0].items() if status == "fail"}


def created(plan):
    return {change["address"] for change in plan["resource_changes"] if change["change"]["actions"] == ["create"]}


@pytest.mark.parametrize("name", ["project", "cluster"])
def test_a_module_is_valid_for_the_real_schemas(module, name):
    answer = json.loads(module(name).run("validate", "-json", check=True).stdout)
    assert answer["valid"]
    assert not answer["diagnostics"]


def test_the_files_have_terraforms_own_format(terraform):
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", "-recursive", MODULES], capture_output=True, text=True
    )
    assert not done.returncode, done.stdout


@pytest.mark.parametrize("place", ["staging", "production"])
def test_both_places_can_be_planned(module, place):
    project = module("project")
    plan, _ = project.plan(f"-var-file={place}.tfvars", project.variables(**PROJECT))
    addresses = created(plan)
    assert 'google_bigquery_dataset.all["raw"]' in addresses
    (environment,) = (each for each in plan["resource_changes"] if each["type"] == "google_composer_environment")
    assert environment["change"]["after"]["name"] == f"mlops-{place}"
    assert not any(each.startswith("google_container_") for each in addresses)


def test_places_differ_in_sizes_and_protection_only(module):
    project = module("project")
    names = []
    for place in ("staging", "production"):
        plan, _ = project.plan(f"-var-file={place}.tfvars", project.variables(**PROJECT))
        names.append(created(plan))
    assert names[0] == names[1]


def test_all_options_can_be_planned_and_no_password_is_stored(module):
    project = module("project")
    plan, file = project.plan("-var-file=staging.tfvars", project.variables(**PROJECT, **EVERYTHING))
    assert {
        'google_billing_budget.all["project"]',
        "google_cloud_run_v2_service.mlflow[0]",
        'google_container_cluster.all["tasks"]',
        'google_container_node_pool.tasks["tasks"]',
        'google_iam_workload_identity_pool_provider.github["workflow"]',
        'google_sql_database.all["airbyte"]',
    } <= created(plan)
    assert not [name for name, password in PASSWORDS.items() if password in json.dumps(plan)]
    assert not [name for name, password in PASSWORDS.items() if password.encode() in file]


def test_the_cluster_can_be_planned_and_no_password_is_stored(module):
    cluster = module("cluster")
    plan, _ = cluster.plan(cluster.variables(**CLUSTER))
    assert {'helm_release.airbyte["cluster"]', "kubernetes_secret_v1.tasks"} <= created(plan)
    assert not [name for name, password in PASSWORDS.items() if password in json.dumps(plan)]


@pytest.mark.parametrize("name", ["project", "cluster"])
def test_names_and_roles_hold_on_a_simulated_provider(module, name):
    runs, wrong = statuses(module(name))
    written = sum(path.read_text().count("\nrun ") for path in (MODULES / name / "tests").iterdir())
    assert len(runs) == written
    assert set(runs.values()) == {"pass"}, wrong


def test_other_names_and_roles_fail(module):
    changes = {
        "roles_on_the_project_are_these_and_no_others": ("accounts.tf", '"roles/composer.worker"', '"roles/editor"'),
        "roles_on_buckets_datasets_images_and_secrets": (
            "storage.tf",
            '"airbyte", "source", "roles/storage.objectViewer"',
            '"airbyte", "source", "roles/storage.objectAdmin"',
        ),
        "names_have_the_place": ("network.tf", "name                    = local.name", 'name = "mlops"'),
        "the_workflow_of_one_repository_deploys_from_its_environment": (
            "github.tf",
            "attribute.environment/${var.place}",
            "attribute.repository/${each.value}",
        ),
        "the_database_is_reached_from_the_networks_that_are_given_with_tls_only": (
            "database.tf",
            "toset(var.database.public_from)",
            "[]",
        ),
        "a_cluster_has_a_pool_of_tasks_that_starts_empty": (
            "cluster.tf",
            "total_min_node_count = 0",
            "total_min_node_count = 1",
        ),
        "what_holds_data_is_protected": ("bigquery.tf", "!var.protect", "true"),
    }
    assert failed_runs(module("project", *changes.values())) == set(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("storage.tf", "uniform_bucket_level_access", "uniform_bucket_level_acces"),
            'named "uniform_bucket_level_acces" is not expected here. Did you mean "uniform_bucket_level_access"?',
        ),
        (("composer.tf", "memory_gb ", "memory_mb "), 'An argument named "memory_mb" is not expected here.'),
        (
            ("storage.tf", "  versioning {", "  versionning {"),
            'Blocks of type "versionning" are not expected here. Did you mean "versioning"?',
        ),
        (
            ("storage.tf", "location                    = var.region", ""),
            'The argument "location" is required, but no definition was found.',
        ),
        (
            ("secrets.tf", "location = var.region", ""),
            'The argument "location" is required, but no definition was found.',
        ),
        (
            ("budget.tf", "  budget_filter {", "  amount {"),
            'No more than 1 "amount" blocks are allowed',
        ),
        (
            ("composer.tf", "google_compute_network.all.id", "google_compute_network.every.id"),
            'A managed resource "google_compute_network" "every" has not been declared in the root module.',
        ),
        (
            ("secrets.tf", "private_ip_address", "private_ip_adress"),
            'This object has no argument, nested block, or exported attribute named "private_ip_adress". Did you mean',
        ),
        (
            ("mlflow.tf", "var.mlflow.image\n", "var.mlflow.picture\n"),
            'This object does not have an attribute named "picture".',
        ),
        (("network.tf", "auto_create_subnetworks = false", 'auto_create_subnetworks = "never"'), "a bool is required"),
        (
            ("database.tf", 'resource "google_sql_database" ', 'resource "google_sql_databas" '),
            'does not support resource type "google_sql_databas"',
        ),
    ],
    ids=lambda value: " ".join(value.split()[:6]) if isinstance(value, str) else "",
)
def test_a_mistake_in_the_project_is_found_before_google_is_asked(module, change, message):
    assert message in module("project", change).message("validate")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("tasks.tf", "role_ref {", "roleref {"), 'Blocks of type "roleref" are not expected here.'),
        (
            ("airbyte.tf", 'chart      = "airbyte"', ""),
            'The argument "chart" is required, but no definition was found.',
        ),
        (("tasks.tf", '  metadata {\n    name = "mlops"', '  metadatas {\n    name = "mlops"'), "metadatas"),
    ],
    ids=lambda value: " ".join(value.split()[:6]) if isinstance(value, str) else "",
)
def test_a_mistake_in_the_cluster_is_found(module, change, message):
    assert message in module("cluster", change).message("validate")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"place": "Staging"}, "The place must be 2 to 12 lower-case letters and digits"),
        ({"project": "My Project"}, "The project must be given by its id"),
        ({"project": "a-project-whose-id-is-too-long"}, "and have at most 27 characters"),
        ({"composer": {"image_version": "composer-3-airflow-3.3.1"}}, "must be a build of Airflow 3.1.7 to 3.2"),
        (
            {"composer": {"image_version": "composer-3-airflow-3.1.6-build.2"}},
            "must be a build of Airflow 3.1.7 to 3.2",
        ),
        ({"composer": {"size": "huge"}}, "composer.size must be small, medium or large"),
        (
            {"composer": {"worker": {"cpu": 1, "memory": 4, "min": 3, "max": 2}}},
            "composer.worker.min must be 1 or more",
        ),
        ({"mlflow": {"image": "registry/mlops-mlflow:latest"}}, "mlflow.image must be given by its digest"),
        ({"passwords": PASSWORDS | {"mlflow_key": "a b"}}, "Each password must be 24 or more letters, digits, _ and -"),
        ({"budget": {"billing_account": "mine", "amount": 5}}, "budget.billing_account must be an id"),
        ({"github_repository": "https://github.com/our/mlops"}, "github_repository must be OWNER/NAME"),
        ({"cluster": {"max_nodes": 0}}, "cluster.max_nodes must be 1 or more"),
        ({"database": {"public_from": ["the office"]}}, "database.public_from must be IPv4 networks such as"),
        ({"database": {"public_from": ["0.0.0.0/0"]}}, "and not the whole Internet"),
        (
            {"database": {"public_from": ["192.0.2.0/24"]}, "cluster": {}, "airbyte": "cluster"},
            'database.public_from cannot be set with airbyte = "cluster"',
        ),
        ({"airbyte": "oss"}, "airbyte must be cluster or cloud"),
        ({"airbyte": "cluster"}, 'airbyte = "cluster" needs a cluster: set cluster = {}'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_variable_says_what_to_write(module, values, message):
    project = module("project")
    assert message in project.message("plan", project.variables(**{"place": "staging", **PROJECT, **values}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"context": "minikube"}, "The context must be that of a GKE cluster"),
        ({"airbyte_chart": "1.9.0"}, "airbyte_chart must be an exact version of 2 or later"),
    ],
    ids=["context", "airbyte_chart"],
)
def test_a_wrong_variable_of_the_cluster_says_what_to_write(module, values, message):
    cluster = module("cluster")
    assert message in cluster.message("plan", cluster.variables(**CLUSTER | values))


def test_what_a_person_makes_on_the_way_is_not_committed():
    made = ["project/plan", "project/.terraform/x", "cluster/terraform.tfstate", "project/mine.auto.tfvars.json"]
    paths = [*(f"deploy/terraform/{each}" for each in made), "airbyte-key.json", "pods-secret.yaml"]
    done = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == paths
