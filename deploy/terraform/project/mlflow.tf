# The MLflow server. Everyone reaches its address; it asks for a name and a password, which its clients can send.
resource "google_cloud_run_v2_service" "mlflow" {
  count = var.mlflow.image == null ? 0 : 1

  name                 = "${local.name}-mlflow"
  location             = var.region
  ingress              = "INGRESS_TRAFFIC_ALL"
  invoker_iam_disabled = true
  deletion_protection  = var.protect

  template {
    service_account = google_service_account.all["mlflow"].email

    scaling {
      min_instance_count = var.mlflow.min_instances
      # Two at the first start would both create the tables.
      max_instance_count = 1
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = google_compute_network.all.id
        subnetwork = google_compute_subnetwork.all.id
      }
    }

    containers {
      image = var.mlflow.image

      ports {
        container_port = 5000
      }

      resources {
        limits = { cpu = "1", memory = "2Gi" }
      }

      dynamic "env" {
        for_each = {
          DO_NOT_TRACK                       = "1"
          MLFLOW_ARTIFACTS_DESTINATION       = "gs://${google_storage_bucket.all["artifacts"].name}/mlflow"
          MLFLOW_AUTH_CONFIG_PATH            = "/run/secrets/login/auth.ini"
          MLFLOW_DISABLE_TELEMETRY           = "true"
          MLFLOW_HOST                        = "0.0.0.0"
          MLFLOW_PORT                        = "5000"
          MLFLOW_SERVER_ALLOWED_HOSTS        = "${local.name}-mlflow-*.run.app"
          MLFLOW_SERVER_CORS_ALLOWED_ORIGINS = "https://${local.name}-mlflow-*.run.app"
          MLFLOW_SERVER_ENABLE_JOB_EXECUTION = "false"
          MLFLOW_WORKERS                     = "2"
        }
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = {
          MLFLOW_BACKEND_STORE_URI       = google_secret_manager_secret_version.mlflow_database
          MLFLOW_FLASK_SERVER_SECRET_KEY = google_secret_manager_secret_version.mlflow_key
        }
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value.secret
              version = env.value.version
            }
          }
        }
      }

      volume_mounts {
        name       = "login"
        mount_path = "/run/secrets/login"
      }

      startup_probe {
        initial_delay_seconds = 10
        period_seconds        = 5
        failure_threshold     = 30
        http_get {
          path = "/health"
          port = 5000
        }
      }
    }

    volumes {
      name = "login"
      secret {
        secret = google_secret_manager_secret.all["mlflow-login"].id
        items {
          path    = "auth.ini"
          version = google_secret_manager_secret_version.mlflow_login.version
        }
      }
    }
  }

  depends_on = [
    google_secret_manager_secret_iam_member.readers,
    google_sql_database.all,
    google_sql_user.all,
  ]
}
