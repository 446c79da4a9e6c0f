# PostgreSQL for MLflow, for the studies of Optuna, and for Airbyte if it runs on our cluster.
locals {
  databases = concat(["mlflow", "studies"], var.airbyte == "cluster" ? ["airbyte"] : [])
  # An ephemeral value may only be used where it is not stored.
  database_passwords = {
    mlflow  = var.passwords.mlflow_database
    studies = var.passwords.studies_database
    airbyte = var.passwords.airbyte_database
  }
}

resource "google_sql_database_instance" "all" {
  name                = local.name
  region              = var.region
  database_version    = "POSTGRES_17"
  deletion_protection = var.protect

  settings {
    edition           = "ENTERPRISE"
    tier              = var.database.tier
    disk_size         = var.database.disk
    disk_autoresize   = true
    availability_type = var.database.high_availability ? "REGIONAL" : "ZONAL"
    # Google's own protection, which holds outside of Terraform, too.
    deletion_protection_enabled = var.protect
    user_labels                 = local.labels

    ip_configuration {
      ipv4_enabled    = length(var.database.public_from) > 0
      private_network = google_compute_network.all.id
      # The chart of Airbyte has a part, Temporal, that connects without TLS. Nobody outside of the network gets here.
      ssl_mode = var.airbyte == "cluster" ? "ALLOW_UNENCRYPTED_AND_ENCRYPTED" : "ENCRYPTED_ONLY"

      dynamic "authorized_networks" {
        for_each = toset(var.database.public_from)
        content {
          value = authorized_networks.value
        }
      }
    }

    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
      start_time                     = "01:00"
    }
  }

  depends_on = [google_service_networking_connection.services]
}

resource "google_sql_database" "all" {
  for_each = toset(local.databases)

  name     = each.key
  instance = google_sql_database_instance.all.name
}

resource "google_sql_user" "all" {
  for_each = toset(local.databases)

  name                = each.key
  instance            = google_sql_database_instance.all.name
  password_wo         = local.database_passwords[each.key]
  password_wo_version = var.passwords_version
  # PostgreSQL does not drop a user who owns tables; both go with the instance.
  deletion_policy = "ABANDON"
}
