# Airbyte OSS. Its settings and states are in Cloud SQL; its logs are in the cluster and go with it.

locals {
  airbyte = var.outputs.airbyte == "cluster" ? { cluster = var.outputs } : {}
}

resource "kubernetes_namespace_v1" "airbyte" {
  for_each = local.airbyte

  metadata {
    name = "airbyte"
  }
}

resource "kubernetes_secret_v1" "airbyte" {
  for_each = local.airbyte

  metadata {
    name      = "airbyte-database"
    namespace = kubernetes_namespace_v1.airbyte[each.key].metadata[0].name
  }

  data_wo          = { password = var.passwords.airbyte_database }
  data_wo_revision = var.passwords_version
}

resource "helm_release" "airbyte" {
  for_each = local.airbyte

  name       = "airbyte"
  namespace  = kubernetes_namespace_v1.airbyte[each.key].metadata[0].name
  repository = "https://airbytehq.github.io/charts"
  chart      = "airbyte"
  version    = var.airbyte_chart
  # Seconds; the first start pulls images and migrates the database.
  timeout = 1200

  values = [yamlencode({
    global = {
      # The chart writes login, client id and secret to the Secret airbyte-auth-secrets.
      auth = { enabled = true }
      database = {
        type              = "external"
        secretName        = kubernetes_secret_v1.airbyte[each.key].metadata[0].name
        passwordSecretKey = "password"
        host              = each.value.database_address
        port              = 5432
        name              = "airbyte"
        user              = "airbyte"
      }
      # Nothing calls home.
      tracking = { strategy = "logging" }
    }
    postgresql = { enabled = false }
    serviceAccount = {
      annotations = { "iam.gke.io/gcp-service-account" = each.value.accounts.airbyte }
    }
    # Airflow is in the network, but not in the cluster.
    server = {
      service = {
        type        = "LoadBalancer"
        annotations = { "networking.gke.io/load-balancer-type" = "Internal" }
      }
    }
  })]
}
