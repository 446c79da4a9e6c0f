locals {
  services = concat(
    [
      "artifactregistry.googleapis.com",
      "bigquery.googleapis.com",
      "bigquerystorage.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "composer.googleapis.com",
      "compute.googleapis.com",
      "iam.googleapis.com",
      "iamcredentials.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "servicenetworking.googleapis.com",
      "sqladmin.googleapis.com",
      "storage.googleapis.com",
      "sts.googleapis.com",
    ],
    var.budget == null ? [] : ["billingbudgets.googleapis.com", "monitoring.googleapis.com"],
    var.cluster == null ? [] : ["container.googleapis.com"],
  )
}

resource "google_project_service" "all" {
  for_each = toset(local.services)

  service = each.key
  # Others in the project may use them.
  disable_on_destroy = false
}
