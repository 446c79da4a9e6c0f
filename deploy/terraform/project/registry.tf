resource "google_artifact_registry_repository" "images" {
  repository_id = local.name
  location      = var.region
  format        = "DOCKER"
  description   = "Images of tasks and of MLflow"

  # A rollback needs the images of the manifests before.
  cleanup_policies {
    id     = "keep-latest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "180d"
    }
  }

  depends_on = [google_project_service.all]
}

resource "google_artifact_registry_repository_iam_member" "all" {
  for_each = {
    composer = "roles/artifactregistry.reader"
    nodes    = "roles/artifactregistry.reader"
    deploy   = "roles/artifactregistry.writer"
  }

  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = each.value
  member     = google_service_account.all[each.key].member
}

locals {
  registry = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}
