locals {
  # The smoke run of a deploy has datasets of its own.
  datasets = toset([
    for each in setproduct(["", "smoke_"], ["raw", "staging", "candidate", "marts"]) : join("", each)
  ])
  dataset_roles = merge(
    { for each in setproduct(local.tasks, local.datasets) : join(" ", each) => { account = each[0], dataset = each[1] } },
    # Airbyte writes what it loads, and no more.
    { for each in local.datasets : "airbyte ${each}" => { account = "airbyte", dataset = each } if endswith(each, "raw") },
  )
}

resource "google_bigquery_dataset" "all" {
  for_each = local.datasets

  dataset_id                 = each.key
  location                   = var.bigquery_location
  delete_contents_on_destroy = !var.protect

  depends_on = [google_project_service.all]
}

resource "google_bigquery_dataset_iam_member" "all" {
  for_each = local.dataset_roles

  dataset_id = google_bigquery_dataset.all[each.value.dataset].dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.all[each.value.account].member
}
