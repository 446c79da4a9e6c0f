# Where GKEStartPodOperator puts the pods of tasks: the settings `runner.kubernetes.namespace`, `.service_account` and
# `.secret` of the place have these names.

resource "kubernetes_namespace_v1" "tasks" {
  metadata {
    name = "mlops"
    labels = {
      # The pods have no rights on their node; Kubernetes refuses those that ask for some.
      "pod-security.kubernetes.io/enforce" = "restricted"
    }
  }
}

resource "kubernetes_service_account_v1" "tasks" {
  metadata {
    name      = "mlops-tasks"
    namespace = kubernetes_namespace_v1.tasks.metadata[0].name
    annotations = {
      "iam.gke.io/gcp-service-account" = var.outputs.accounts.pods
    }
  }
}

resource "kubernetes_secret_v1" "tasks" {
  metadata {
    name      = "mlops-tasks"
    namespace = kubernetes_namespace_v1.tasks.metadata[0].name
  }

  data_wo = {
    MLFLOW_TRACKING_USERNAME = "admin"
    MLFLOW_TRACKING_PASSWORD = var.passwords.mlflow_admin
    MLOPS_STUDIES            = "postgresql+psycopg2://studies:${var.passwords.studies_database}@${var.outputs.database_address}:5432/studies?sslmode=require"
  }
  data_wo_revision = var.passwords_version
}

# What the pod runner does, and no more (docs/places.md).
resource "kubernetes_role_v1" "tasks" {
  metadata {
    name      = "mlops-airflow"
    namespace = kubernetes_namespace_v1.tasks.metadata[0].name
  }

  rule {
    api_groups = [""]
    resources  = ["pods"]
    verbs      = ["create", "get", "list", "watch", "patch", "delete"]
  }
  rule {
    api_groups = [""]
    resources  = ["pods/log"]
    verbs      = ["get"]
  }
  rule {
    api_groups = [""]
    resources  = ["pods/exec"]
    verbs      = ["create", "get"]
  }
  rule {
    api_groups = [""]
    resources  = ["events"]
    verbs      = ["list"]
  }
}

resource "kubernetes_role_binding_v1" "tasks" {
  metadata {
    name      = "mlops-airflow"
    namespace = kubernetes_namespace_v1.tasks.metadata[0].name
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.tasks.metadata[0].name
  }

  subject {
    api_group = "rbac.authorization.k8s.io"
    kind      = "User"
    name      = var.outputs.accounts.composer
  }
}
