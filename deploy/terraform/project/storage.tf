locals {
  buckets = toset([
    # DAGs, plugins and data of Composer; the manifests and the lock of `make deploy`.
    "composer",
    # Snapshots, models, predictions, validation results, data docs; the setting `artifacts`.
    "artifacts",
    # Files that are loaded.
    "source",
  ])
  # Account, bucket, role.
  bucket_roles = [
    ["composer", "composer", "roles/storage.objectAdmin"],
    ["composer", "artifacts", "roles/storage.objectAdmin"],
    # `watch` looks for changed files.
    ["composer", "source", "roles/storage.objectViewer"],
    ["pods", "artifacts", "roles/storage.objectAdmin"],
    ["mlflow", "artifacts", "roles/storage.objectAdmin"],
    ["airbyte", "source", "roles/storage.objectViewer"],
    ["deploy", "composer", "roles/storage.objectAdmin"],
    # `gcloud storage` looks at the bucket itself first.
    ["deploy", "composer", "roles/storage.legacyBucketReader"],
  ]
}

resource "google_storage_bucket" "all" {
  for_each = local.buckets

  # Names of buckets are one world-wide space.
  name                        = "${var.project}-${local.name}-${each.key}"
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
  for_each = { for each in local.bucket_roles : join(" ", each) => each }

  bucket = google_storage_bucket.all[each.value[1]].name
  role   = each.value[2]
  member = google_service_account.all[each.value[0]].member
}

# `gcloud sql import` reads as the database's own account.
resource "google_storage_bucket_iam_member" "database" {
  bucket = google_storage_bucket.all["source"].name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${google_sql_database_instance.all.service_account_email_address}"
}
