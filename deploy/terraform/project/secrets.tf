# Secrets of Secret Manager. Terraform makes them and says who reads them; the values that Terraform knows come from
# var.passwords and are in no state, the others are written by `make deploy`.

locals {
  database_address = "${google_sql_database_instance.all.private_ip_address}:5432"
  # Who reads our own secrets.
  secrets = {
    # Of the MLflow server.
    "mlflow-database" = ["mlflow"]
    "mlflow-login"    = ["mlflow"]
    "mlflow-key"      = ["mlflow"]
    # Lines NAME='value' that `make deploy` needs in its environment; a person writes them.
    "deploy" = ["deploy"]
  }
  # Airflow's secrets backend finds connections and variables by these names; `make deploy` writes their values.
  airflow_secrets = toset(concat(
    ["airflow-connections-airbyte_default", "airflow-variables-airbyte_connections"],
    var.airflow_secrets,
  ))
  secret_readers = merge(
    { for each in flatten([for secret, readers in local.secrets : [for reader in readers : { secret = secret, account = reader }]]) :
    "${each.account} ${each.secret}" => each },
    { for each in setproduct(["composer", "deploy"], local.airflow_secrets) : join(" ", each) => { account = each[0], secret = each[1] } },
  )
}

resource "google_secret_manager_secret" "all" {
  for_each = setunion(keys(local.secrets), local.airflow_secrets)

  secret_id = contains(local.airflow_secrets, each.key) ? each.key : "${local.name}-${each.key}"

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.all]
}

resource "google_secret_manager_secret_iam_member" "readers" {
  for_each = local.secret_readers

  secret_id = google_secret_manager_secret.all[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.all[each.value.account].member
}

resource "google_secret_manager_secret_iam_member" "deploy_writes" {
  for_each = local.airflow_secrets

  secret_id = google_secret_manager_secret.all[each.key].id
  role      = "roles/secretmanager.secretVersionManager"
  member    = google_service_account.all["deploy"].member
}

resource "google_secret_manager_secret_version" "mlflow_database" {
  secret                 = google_secret_manager_secret.all["mlflow-database"].id
  secret_data_wo         = "postgresql+psycopg2://mlflow:${var.passwords.mlflow_database}@${local.database_address}/mlflow?sslmode=require"
  secret_data_wo_version = var.passwords_version
}

# The configuration file of MLflow's logins.
resource "google_secret_manager_secret_version" "mlflow_login" {
  secret = google_secret_manager_secret.all["mlflow-login"].id
  secret_data_wo = join("\n", [
    "[mlflow]",
    "default_permission = NO_PERMISSIONS",
    "database_uri = postgresql+psycopg2://mlflow:${var.passwords.mlflow_database}@${local.database_address}/mlflow?sslmode=require",
    "admin_username = admin",
    "admin_password = ${var.passwords.mlflow_admin}",
    "auth_cache_ttl_seconds = 60",
    "",
  ])
  secret_data_wo_version = var.passwords_version
}

resource "google_secret_manager_secret_version" "mlflow_key" {
  secret                 = google_secret_manager_secret.all["mlflow-key"].id
  secret_data_wo         = var.passwords.mlflow_key
  secret_data_wo_version = var.passwords_version
}
