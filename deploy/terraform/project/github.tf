# The workflow deploys as the account `deploy` by GitHub's own tokens: there is no key that could be lost.

locals {
  repositories = var.github_repository == null ? {} : { workflow = var.github_repository }
}

resource "google_iam_workload_identity_pool" "github" {
  for_each = local.repositories

  workload_identity_pool_id = "${local.name}-github"
  display_name              = "GitHub Actions"

  depends_on = [google_project_service.all]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  for_each = local.repositories

  workload_identity_pool_id          = google_iam_workload_identity_pool.github[each.key].workload_identity_pool_id
  workload_identity_pool_provider_id = "workflow"
  # Without this condition every repository of GitHub would be let in.
  attribute_condition = "assertion.repository == '${each.value}'"
  attribute_mapping = {
    "google.subject"        = "assertion.sub"
    "attribute.environment" = "assertion.environment"
    "attribute.repository"  = "assertion.repository"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

# Only jobs in GitHub's environment of this place, which may ask a person for approval first.
resource "google_service_account_iam_member" "github" {
  for_each = local.repositories

  service_account_id = google_service_account.all["deploy"].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github[each.key].name}/attribute.environment/${var.place}"
}
