# Names, and who may do what, on a simulated provider: `terraform test`, or `make test ONLY=terraform` without a registry.

mock_provider "google" {
  override_during = plan
}

override_resource {
  target          = google_service_account.all["composer"]
  override_during = plan
  values          = { member = "serviceAccount:composer", email = "composer@demo-project" }
}
override_resource {
  target          = google_service_account.all["pods"]
  override_during = plan
  values          = { member = "serviceAccount:pods", email = "pods@demo-project" }
}
override_resource {
  target          = google_service_account.all["airbyte"]
  override_during = plan
  values          = { member = "serviceAccount:airbyte", email = "airbyte@demo-project" }
}
override_resource {
  target          = google_service_account.all["mlflow"]
  override_during = plan
  values          = { member = "serviceAccount:mlflow", email = "mlflow@demo-project" }
}
override_resource {
  target          = google_service_account.all["nodes"]
  override_during = plan
  values          = { member = "serviceAccount:nodes", email = "nodes@demo-project" }
}
override_resource {
  target          = google_service_account.all["deploy"]
  override_during = plan
  values          = { member = "serviceAccount:deploy", email = "deploy@demo-project" }
}
override_resource {
  target          = google_cloud_run_v2_service.mlflow
  override_during = plan
  values          = { uri = "https://mlflow.test" }
}
override_resource {
  target          = google_iam_workload_identity_pool.github["workflow"]
  override_during = plan
  values          = { name = "projects/1/locations/global/workloadIdentityPools/mlops-staging-github" }
}

variables {
  place   = "staging"
  project = "demo-project"
  passwords = {
    mlflow_database  = "mlflow-database-password"
    mlflow_admin     = "mlflow-admin-password-123"
    mlflow_key       = "mlflow-key-0123456789-0123"
    studies_database = "studies-database-password"
    airbyte_database = "airbyte-database-password"
  }
}

run "roles_on_the_project_are_these_and_no_others" {
  command = plan

  assert {
    condition = toset([for each in google_project_iam_member.all : "${each.member} ${each.role}"]) == toset([
      "serviceAccount:composer roles/composer.worker",
      "serviceAccount:composer roles/bigquery.jobUser",
      "serviceAccount:composer roles/bigquery.readSessionUser",
      "serviceAccount:pods roles/bigquery.jobUser",
      "serviceAccount:pods roles/bigquery.readSessionUser",
      "serviceAccount:airbyte roles/bigquery.jobUser",
      "serviceAccount:airbyte roles/bigquery.readSessionUser",
      "serviceAccount:nodes roles/container.defaultNodeServiceAccount",
    ])
    error_message = "roles on the project: ${jsonencode([for each in google_project_iam_member.all : "${each.member} ${each.role}"])}"
  }

  assert {
    condition     = alltrue([for each in google_project_iam_custom_role.deploy.permissions : !strcontains(each, ".delete") && each != "composer.environments.create"])
    error_message = "the account `deploy` must not create or delete environments"
  }

  assert {
    condition     = google_project_iam_member.deploy.member == "serviceAccount:deploy"
    error_message = "the role of `make deploy` belongs to the account `deploy`"
  }

  assert {
    condition     = google_service_account_iam_member.deploy_as_composer.member == "serviceAccount:deploy" && google_service_account_iam_member.deploy_as_composer.role == "roles/iam.serviceAccountUser"
    error_message = "an update of the environment needs to act as Composer's account"
  }
}

run "roles_on_buckets_datasets_images_and_secrets" {
  command = plan

  assert {
    condition = toset([for each in google_storage_bucket_iam_member.all : "${each.member} ${each.role} ${each.bucket}"]) == toset([
      "serviceAccount:composer roles/storage.objectAdmin demo-project-mlops-staging-composer",
      "serviceAccount:composer roles/storage.objectAdmin demo-project-mlops-staging-artifacts",
      "serviceAccount:composer roles/storage.objectViewer demo-project-mlops-staging-source",
      "serviceAccount:pods roles/storage.objectAdmin demo-project-mlops-staging-artifacts",
      "serviceAccount:mlflow roles/storage.objectAdmin demo-project-mlops-staging-artifacts",
      "serviceAccount:airbyte roles/storage.objectViewer demo-project-mlops-staging-source",
      "serviceAccount:deploy roles/storage.objectAdmin demo-project-mlops-staging-composer",
      "serviceAccount:deploy roles/storage.legacyBucketReader demo-project-mlops-staging-composer",
    ])
    error_message = "roles on buckets: ${jsonencode([for each in google_storage_bucket_iam_member.all : "${each.member} ${each.role} ${each.bucket}"])}"
  }

  assert {
    condition = toset([for each in google_bigquery_dataset_iam_member.all : "${each.member} ${each.dataset_id}"]) == toset(concat(
      [for each in setproduct(["composer", "pods"], ["raw", "staging", "candidate", "marts", "smoke_raw", "smoke_staging", "smoke_candidate", "smoke_marts"]) : "serviceAccount:${join(" ", each)}"],
      ["serviceAccount:airbyte raw", "serviceAccount:airbyte smoke_raw"],
    ))
    error_message = "who writes to which dataset: ${jsonencode([for each in google_bigquery_dataset_iam_member.all : "${each.member} ${each.dataset_id}"])}"
  }

  assert {
    condition     = alltrue([for each in google_bigquery_dataset_iam_member.all : each.role == "roles/bigquery.dataEditor"])
    error_message = "a writer of a dataset needs roles/bigquery.dataEditor and no more"
  }

  assert {
    condition = toset([for each in google_artifact_registry_repository_iam_member.all : "${each.member} ${each.role}"]) == toset([
      "serviceAccount:composer roles/artifactregistry.reader",
      "serviceAccount:nodes roles/artifactregistry.reader",
      "serviceAccount:deploy roles/artifactregistry.writer",
    ])
    error_message = "roles on images: ${jsonencode([for each in google_artifact_registry_repository_iam_member.all : "${each.member} ${each.role}"])}"
  }

  assert {
    condition = toset([for name, each in google_secret_manager_secret_iam_member.readers : "${each.member} ${split(" ", name)[1]} ${each.role}"]) == toset([
      for each in concat(
        ["mlflow mlflow-database", "mlflow mlflow-login", "mlflow mlflow-key", "deploy deploy"],
        [for each in setproduct(["composer", "deploy"], ["connections-airbyte_default", "variables-airbyte_connections"]) : join(" airflow-", each)],
      ) : "serviceAccount:${each} roles/secretmanager.secretAccessor"
    ])
    error_message = "who reads which secret: ${jsonencode([for name, each in google_secret_manager_secret_iam_member.readers : "${each.member} ${name}"])}"
  }

  assert {
    condition     = toset(keys(google_secret_manager_secret_iam_member.deploy_writes)) == toset([for each in ["connections-airbyte_default", "variables-airbyte_connections"] : "airflow-${each}"])
    error_message = "make deploy writes Airflow's connections and variables, and no other secret"
  }
}

run "names_have_the_place" {
  command = plan

  assert {
    condition = toset([for each in [
      google_composer_environment.all.name, google_compute_network.all.name, google_sql_database_instance.all.name,
      google_artifact_registry_repository.images.repository_id,
    ] : each]) == toset(["mlops-staging"])
    error_message = "the main parts are called mlops-PLACE"
  }

  assert {
    condition     = toset([for each in google_service_account.all : each.account_id]) == toset([for each in ["composer", "pods", "airbyte", "mlflow", "nodes", "deploy"] : "mlops-${each}"])
    error_message = "accounts are called mlops-PURPOSE"
  }

  assert {
    condition = toset([for each in google_secret_manager_secret.all : each.secret_id]) == toset(concat(
      [for each in ["mlflow-database", "mlflow-login", "mlflow-key", "deploy"] : "mlops-staging-${each}"],
      [for each in ["connections-airbyte_default", "variables-airbyte_connections"] : "airflow-${each}"],
    ))
    error_message = "secrets: ${jsonencode([for each in google_secret_manager_secret.all : each.secret_id])}"
  }

  assert {
    condition     = google_composer_environment.all.config[0].node_config[0].service_account == "composer@demo-project" && google_composer_environment.all.storage_config[0].bucket == "demo-project-mlops-staging-composer"
    error_message = "the environment has the account `composer` and the bucket `composer`"
  }
}

run "without_options_there_is_no_cluster_budget_workflow_or_server" {
  command = plan

  assert {
    condition     = length(google_container_cluster.all) + length(google_container_node_pool.tasks) + length(google_compute_router_nat.all) + length(google_service_account_iam_member.pods) == 0
    error_message = "there is a cluster"
  }

  assert {
    condition     = length(google_billing_budget.all) + length(google_iam_workload_identity_pool.github) + length(google_cloud_run_v2_service.mlflow) == 0
    error_message = "there is a budget, a workflow's pool or a server"
  }

  assert {
    condition     = toset(keys(google_sql_database.all)) == toset(["mlflow", "studies"]) && google_sql_database_instance.all.settings[0].ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY"
    error_message = "databases without Airbyte: ${jsonencode(keys(google_sql_database.all))}"
  }

  assert {
    condition     = !google_sql_database_instance.all.settings[0].ip_configuration[0].ipv4_enabled && length(google_sql_database_instance.all.settings[0].ip_configuration[0].authorized_networks) == 0
    error_message = "the database has a public address"
  }

  assert {
    condition     = output.cluster == null && output.workload_identity_provider == null
    error_message = "outputs of parts that do not exist are null"
  }
}

run "the_database_is_reached_from_the_networks_that_are_given_with_tls_only" {
  command = plan

  variables {
    database = { public_from = ["192.0.2.0/24", "198.51.100.7/32"] }
  }

  assert {
    condition     = google_sql_database_instance.all.settings[0].ip_configuration[0].ipv4_enabled && toset([for each in google_sql_database_instance.all.settings[0].ip_configuration[0].authorized_networks : each.value]) == toset(["192.0.2.0/24", "198.51.100.7/32"])
    error_message = "the database has no public address, or other networks reach it"
  }

  assert {
    condition     = google_sql_database_instance.all.settings[0].ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY"
    error_message = "the database takes connections without TLS from outside"
  }
}

run "a_cluster_has_a_pool_of_tasks_that_starts_empty" {
  command = plan

  variables {
    cluster = { machine_type = "g2-standard-8", accelerators = { type = "nvidia-l4", count = 1 }, max_nodes = 2, zones = ["europe-west1-b"] }
    airbyte = "cluster"
  }

  assert {
    condition     = google_container_node_pool.tasks["tasks"].initial_node_count == 0 && google_container_node_pool.tasks["tasks"].autoscaling[0].total_min_node_count == 0 && google_container_node_pool.tasks["tasks"].autoscaling[0].total_max_node_count == 2
    error_message = "the pool of tasks has nodes while no task runs, or the wrong maximum"
  }

  assert {
    condition     = google_container_node_pool.tasks["tasks"].node_config[0].machine_type == "g2-standard-8" && google_container_node_pool.tasks["tasks"].node_config[0].guest_accelerator[0].type == "nvidia-l4" && google_container_node_pool.tasks["tasks"].node_config[0].guest_accelerator[0].count == 1 && toset(google_container_node_pool.tasks["tasks"].node_locations) == toset(["europe-west1-b"])
    error_message = "machine type, accelerators and zones are those of the variable"
  }

  assert {
    condition     = google_container_node_pool.tasks["tasks"].node_config[0].taint[0].value == "tasks" && google_container_node_pool.tasks["tasks"].node_config[0].labels["pool"] == "tasks" && length(google_container_node_pool.services["tasks"].node_config[0].taint) == 0
    error_message = "only tasks run in the pool of tasks, and other pods find another"
  }

  assert {
    condition     = google_project_iam_member.all["composer roles/container.clusterViewer"].member == "serviceAccount:composer"
    error_message = "Composer's account finds the cluster"
  }

  assert {
    condition = toset([for name, each in google_service_account_iam_member.pods : "${name} ${each.role}"]) == toset([
      "pods roles/iam.workloadIdentityUser", "airbyte roles/iam.workloadIdentityUser",
    ]) && endswith(google_service_account_iam_member.pods["pods"].member, "[mlops/mlops-tasks]") && endswith(google_service_account_iam_member.pods["airbyte"].member, "[airbyte/airbyte-admin]")
    error_message = "pods act as Google's accounts by workload identity"
  }

  assert {
    condition     = contains(keys(google_sql_database.all), "airbyte") && contains(keys(google_sql_user.all), "airbyte")
    error_message = "Airbyte on the cluster has a database"
  }
}

run "the_workflow_of_one_repository_deploys_from_its_environment" {
  command = plan

  variables {
    github_repository = "our/mlops"
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.github["workflow"].attribute_condition == "assertion.repository == 'our/mlops'"
    error_message = "other repositories are let in"
  }

  assert {
    condition     = google_service_account_iam_member.github["workflow"].member == "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/mlops-staging-github/attribute.environment/staging" && google_service_account_iam_member.github["workflow"].role == "roles/iam.workloadIdentityUser"
    error_message = "jobs of other environments are let in: ${google_service_account_iam_member.github["workflow"].member}"
  }
}

run "the_mlflow_server_has_its_login_and_no_password_in_a_variable" {
  command = plan

  variables {
    mlflow = { image = "europe-west1-docker.pkg.dev/demo-project/mlops-staging/mlops-mlflow@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
  }

  assert {
    condition     = google_cloud_run_v2_service.mlflow[0].template[0].service_account == "mlflow@demo-project"
    error_message = "the server runs as the account `mlflow`"
  }

  assert {
    condition = toset([for each in google_cloud_run_v2_service.mlflow[0].template[0].containers[0].env : each.name if length(each.value_source) > 0]) == toset([
      "MLFLOW_BACKEND_STORE_URI", "MLFLOW_FLASK_SERVER_SECRET_KEY",
    ])
    error_message = "variables with passwords come from Secret Manager"
  }

  assert {
    condition = yamldecode(output.place_file) == {
      preset    = "composer"
      source    = "public"
      artifacts = "gs://demo-project-mlops-staging-artifacts"
      mlflow    = "https://mlflow.test"
      runner    = { kubernetes = { secret = "mlops-tasks" } }
      warehouse = { project = "demo-project", location = "EU" }
      deploy = {
        project     = "demo-project"
        location    = "europe-west1"
        environment = "mlops-staging"
        registry    = "europe-west1-docker.pkg.dev/demo-project/mlops-staging"
        smoke       = { source = "smoke" }
      }
    }
    error_message = "the file of the place: ${output.place_file}"
  }
}

run "what_holds_data_is_protected" {
  command = plan

  assert {
    condition     = google_sql_database_instance.all.deletion_protection && alltrue([for each in google_storage_bucket.all : !each.force_destroy]) && alltrue([for each in google_bigquery_dataset.all : !each.delete_contents_on_destroy])
    error_message = "terraform destroy would delete data"
  }

  assert {
    condition     = alltrue([for each in google_storage_bucket.all : each.public_access_prevention == "enforced" && each.uniform_bucket_level_access])
    error_message = "a bucket can be made public"
  }
}

run "people_deploy_as_the_account_of_deploys" {
  command = plan

  variables {
    deployers       = ["user:ada@example.com"]
    airflow_secrets = ["airflow-connections-slack"]
  }

  assert {
    condition     = toset([for each in google_service_account_iam_member.deployers : "${each.member} ${each.role}"]) == toset(["user:ada@example.com roles/iam.serviceAccountTokenCreator"])
    error_message = "people who deploy get tokens of the account, and no key"
  }

  assert {
    condition     = google_secret_manager_secret_iam_member.readers["composer airflow-connections-slack"].member == "serviceAccount:composer" && google_secret_manager_secret_iam_member.deploy_writes["airflow-connections-slack"].member == "serviceAccount:deploy"
    error_message = "further secrets of Airflow are read by Composer and written by deploys"
  }
}
