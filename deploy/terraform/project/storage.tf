locals {
  buckets = {
    # DAGs, plugins and data of Composer; the manifests and the lock of `make deploy`.
    composer = "composer"
    # Snapshots, models, predictions, validation results, data docs; the setting `artifacts`.
    artifacts = "artifacts"
    # What Airbyte loads.
    source = "source"
  }
  bucket_roles = {
    "deploy composer" = "roles/storage.objectAdmin"
    # `gcloud storage` looks at the bucket itself first.
    "deploy composer bucket" = "roles/storage.legacyBucketReader"
    "composer composer"      = "roles/storage.objectAdmin"
    "composer artifacts"     = "roles/storage.objectAdmin"
    "pods artifacts"         = "roles/storage.objectAdmin"
    "mlflow artifacts"       = "roles/storage.objectAdmin"
    "airbyte source"         = "roles/storage.objectViewer"
    # `watch` looks for changed files.
    "composer source" = "roles/storage.objectViewer"
  }
}

resource "google_storage_bucket" "all" {
  for_each = local.buckets

  # Names of buckets are one world-wide space.
  name                        = "${var.project}-${local.name}-${each.value}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.protect

  versioning {
    enabled = true
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 30
    }
    action {
      type = "Delete"
    }
  }

  depends_on = [google_project_service.all]
}

resource "google_storage_bucket_iam_member" "all" {
  for_each = local.bucket_roles

  bucket = google_storage_bucket.all[split(" ", each.key)[1]].name
  role   = each.value
  member = google_service_account.all[split(" ", each.key)[0]].member
}
