"""What the DAGs and their pods need of an environment beside `deploy.connections` and `deploy.variables`, each with why."""

# Connections that their providers do without: Composer's own credentials count.
OPTIONAL_CONNECTIONS = {
    "google_cloud_default": "Google's credentials for pods on a GKE cluster of one's own",
    "kubernetes_default": "the cluster of the pods, which the place's kubeconfig names",
}
# Keys of the Kubernetes Secret that `runner.kubernetes.secret` names.
SECRETS = {"MLOPS_STUDIES": "SQLAlchemy URL of the database of Optuna's studies"}
