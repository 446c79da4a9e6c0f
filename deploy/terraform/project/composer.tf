resource "google_composer_environment" "all" {
  name   = local.name
  region = var.region

  config {
    environment_size = "ENVIRONMENT_SIZE_${upper(var.composer.size)}"

    software_config {
      image_version = var.composer.image_version
    }

    node_config {
      network         = google_compute_network.all.id
      subnetwork      = google_compute_subnetwork.all.id
      service_account = google_service_account.all["composer"].email
    }

    workloads_config {
      scheduler {
        cpu        = var.composer.scheduler.cpu
        memory_gb  = var.composer.scheduler.memory
        storage_gb = 1
        count      = var.composer.scheduler.count
      }
      web_server {
        cpu        = var.composer.web_server.cpu
        memory_gb  = var.composer.web_server.memory
        storage_gb = 1
      }
      worker {
        cpu        = var.composer.worker.cpu
        memory_gb  = var.composer.worker.memory
        storage_gb = 2
        min_count  = var.composer.worker.min
        max_count  = var.composer.worker.max
      }
      triggerer {
        cpu       = var.composer.triggerer.cpu
        memory_gb = var.composer.triggerer.memory
        count     = var.composer.triggerer.count
      }
      dag_processor {
        cpu        = var.composer.dag_processor.cpu
        memory_gb  = var.composer.dag_processor.memory
        storage_gb = 1
        count      = var.composer.dag_processor.count
      }
    }
  }

  storage_config {
    bucket = google_storage_bucket.all["composer"].name
  }

  lifecycle {
    # `make deploy` sets these.
    ignore_changes = [
      config[0].software_config[0].airflow_config_overrides,
      config[0].software_config[0].env_variables,
      config[0].software_config[0].pypi_packages,
    ]
  }

  # Without its roles the environment fails after half an hour.
  depends_on = [google_project_iam_member.all, google_storage_bucket_iam_member.all]
}
