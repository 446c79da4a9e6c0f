# What is put into the cluster, on simulated providers.

mock_provider "kubernetes" {
  override_during = plan
}

mock_provider "helm" {
  override_during = plan
}

variables {
  context = "gke_demo-project_europe-west1_mlops-staging"
  outputs = {
    accounts         = { composer = "composer@demo-project", pods = "pods@demo-project", airbyte = "airbyte@demo-project" }
    airbyte          = "cluster"
    database_address = "10.40.0.3"
  }
  passwords = {
    mlflow_database  = "mlflow-database-password"
    mlflow_admin     = "mlflow-admin-password-123"
    mlflow_key       = "mlflow-key-0123456789-0123"
    studies_database = "studies-database-password"
    airbyte_database = "airbyte-database-password"
  }
}

run "airflow_may_do_what_the_pod_runner_does_in_the_namespace_of_tasks" {
  command = plan

  assert {
    condition = toset(flatten([for rule in kubernetes_role_v1.tasks.rule : [for each in setproduct(rule.resources, rule.verbs) : join(" ", each)]])) == toset([
      "pods create", "pods get", "pods list", "pods watch", "pods patch", "pods delete",
      "pods/log get", "pods/exec create", "pods/exec get", "events list",
    ])
    error_message = "Airflow's rights in the cluster are those of docs/places.md, and no more"
  }

  assert {
    condition     = kubernetes_role_binding_v1.tasks.subject[0].kind == "User" && kubernetes_role_binding_v1.tasks.subject[0].name == "composer@demo-project" && kubernetes_role_binding_v1.tasks.metadata[0].namespace == "mlops"
    error_message = "the rights belong to Composer's account, in the namespace of tasks"
  }

  assert {
    condition     = kubernetes_service_account_v1.tasks.metadata[0].annotations["iam.gke.io/gcp-service-account"] == "pods@demo-project"
    error_message = "pods of tasks act as the account `pods`"
  }
}

run "airbyte_reads_its_database_and_answers_in_the_network_only" {
  command = plan

  assert {
    condition     = yamldecode(helm_release.airbyte["cluster"].values[0]).global.database.host == "10.40.0.3" && yamldecode(helm_release.airbyte["cluster"].values[0]).global.database.secretName == kubernetes_secret_v1.airbyte["cluster"].metadata[0].name && !yamldecode(helm_release.airbyte["cluster"].values[0]).postgresql.enabled
    error_message = "Airbyte's database is that of the project"
  }

  assert {
    condition     = yamldecode(helm_release.airbyte["cluster"].values[0]).server.service.annotations["networking.gke.io/load-balancer-type"] == "Internal" && yamldecode(helm_release.airbyte["cluster"].values[0]).global.auth.enabled
    error_message = "Airbyte is open to the Internet, or asks for no login"
  }

  assert {
    condition     = yamldecode(helm_release.airbyte["cluster"].values[0]).serviceAccount.annotations["iam.gke.io/gcp-service-account"] == "airbyte@demo-project" && helm_release.airbyte["cluster"].namespace == "airbyte"
    error_message = "Airbyte acts as the account `airbyte`"
  }
}

run "airbyte_cloud_needs_nothing_here" {
  command = plan

  variables {
    outputs = {
      accounts         = { composer = "composer@demo-project", pods = "pods@demo-project", airbyte = "airbyte@demo-project" }
      airbyte          = "cloud"
      database_address = "10.40.0.3"
    }
  }

  assert {
    condition     = length(helm_release.airbyte) + length(kubernetes_namespace_v1.airbyte) + length(kubernetes_secret_v1.airbyte) == 0
    error_message = "there is an Airbyte in the cluster"
  }
}
