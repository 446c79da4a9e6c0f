output "place_file" {
  description = "The file config/places/PLACE.yaml of this place, but for what only you know."
  value = yamlencode({
    preset = "composer"
    # The schemas of the source's PostgreSQL that a load and a smoke run read.
    source    = "public"
    artifacts = "gs://${google_storage_bucket.all["artifacts"].name}"
    mlflow    = one(google_cloud_run_v2_service.mlflow[*].uri)
    # The Secret that the pods of tasks read.
    runner = { kubernetes = { secret = "mlops-tasks" } }
    warehouse = {
      project  = var.project
      location = var.bigquery_location
    }
    deploy = {
      project     = var.project
      location    = var.region
      environment = google_composer_environment.all.name
      registry    = local.registry
      smoke       = { source = "smoke" }
    }
  })
}

output "registry" {
  description = "Repository of the images; `make deploy` pushes that of the tasks there."
  value       = local.registry
}

output "buckets" {
  description = "The buckets by what they are for."
  value       = { for purpose, bucket in google_storage_bucket.all : purpose => "gs://${bucket.name}" }
}

output "accounts" {
  description = "E-mail addresses of the service accounts by what they are for."
  value       = { for purpose, account in google_service_account.all : purpose => account.email }
}

output "airflow" {
  description = "Airflow's web page."
  value       = google_composer_environment.all.config[0].airflow_uri
}

output "mlflow" {
  description = "The MLflow server; null: no image yet."
  value       = one(google_cloud_run_v2_service.mlflow[*].uri)
}

output "workload_identity_provider" {
  description = "For the workflow's variable WORKLOAD_IDENTITY_PROVIDER; null: no repository was given."
  value       = one([for each in google_iam_workload_identity_pool_provider.github : each.name])
}

output "database_address" {
  description = "Address of PostgreSQL in the network of the place."
  value       = google_sql_database_instance.all.private_ip_address
}

output "database_public_address" {
  description = "Address of PostgreSQL for the networks of database.public_from; empty: it has none."
  value       = google_sql_database_instance.all.public_ip_address
}

output "cluster" {
  description = "The variable `project` of deploy/terraform/cluster; null: no cluster."
  value = var.cluster == null ? null : {
    accounts         = { for each in ["composer", "pods", "airbyte"] : each => google_service_account.all[each].email }
    airbyte          = var.airbyte
    database_address = google_sql_database_instance.all.private_ip_address
  }
}
