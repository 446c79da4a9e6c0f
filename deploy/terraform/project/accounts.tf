# Who may do what. A role is given on one bucket, dataset, repository or secret where Google lets us, otherwise on the project.

locals {
  accounts = {
    composer = "Composer: Airflow, and the pods in Composer's own cluster"
    pods     = "Pods of tasks in the GKE cluster"
    airbyte  = "Airbyte: reads the source, writes the raw tables"
    mlflow   = "The MLflow server"
    nodes    = "Nodes of the GKE cluster"
    deploy   = "make deploy, from the workflow"
  }
  # Pods in Composer's own cluster always run as Composer's account, so both have what a task needs.
  tasks = ["composer", "pods"]
  project_roles = {
    # Demanded by Composer; it includes objects in all buckets of the project.
    composer = concat(
      ["roles/composer.worker", "roles/bigquery.jobUser", "roles/bigquery.readSessionUser"],
      # Finds the cluster; what it may do there is said in the cluster (deploy/terraform/cluster).
      var.cluster == null ? [] : ["roles/container.clusterViewer"],
    )
    pods    = ["roles/bigquery.jobUser", "roles/bigquery.readSessionUser"]
    airbyte = ["roles/bigquery.jobUser", "roles/bigquery.readSessionUser"]
    mlflow  = []
    nodes   = ["roles/container.defaultNodeServiceAccount"]
    deploy  = []
  }
}

resource "google_service_account" "all" {
  for_each = local.accounts

  # Without the place: Airflow knows a caller of its API by an e-mail address of at most 64 characters.
  account_id   = "mlops-${each.key}"
  display_name = each.value

  depends_on = [google_project_service.all]
}

resource "google_project_iam_member" "all" {
  for_each = merge([
    for account, roles in local.project_roles : { for role in roles : "${account} ${role}" => { account = account, role = role } }
  ]...)

  project = var.project
  role    = each.value.role
  member  = google_service_account.all[each.value.account].member
}

# What Google has no role for without also the right to create and delete environments.
resource "google_project_iam_custom_role" "deploy" {
  role_id     = "mlops_${var.place}_deploy"
  title       = "MLOps deploy (${var.place})"
  description = "Update an environment of Composer, wait for it, and ask its Airflow."
  permissions = [
    "composer.dags.execute",
    "composer.dags.get",
    "composer.dags.list",
    "composer.environments.executeAirflowCommand",
    "composer.environments.get",
    "composer.environments.list",
    "composer.environments.update",
    "composer.operations.get",
    "composer.operations.list",
    # Not to read them: a secret that somebody else made stays closed.
    "secretmanager.secrets.create",
  ]

  depends_on = [google_project_service.all]
}

resource "google_project_iam_member" "deploy" {
  project = var.project
  role    = google_project_iam_custom_role.deploy.id
  member  = google_service_account.all["deploy"].member
}

# An update of the environment runs as the environment's account.
resource "google_service_account_iam_member" "deploy_as_composer" {
  service_account_id = google_service_account.all["composer"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.all["deploy"].member
}

# People who may run `make deploy` as the account of deploys, without a key.
resource "google_service_account_iam_member" "deployers" {
  for_each = toset(var.deployers)

  service_account_id = google_service_account.all["deploy"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.key
}
