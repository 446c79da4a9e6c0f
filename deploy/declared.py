"""What the DAGs and their pods need of every environment beside files, each with why; a place may declare more."""

# Airflow's connections and variables; a deploy sets them.
CONNECTIONS = {"airbyte_default": "the Airbyte whose syncs dataops runs"}
VARIABLES = {"airbyte_connections": "the id of each connection in that Airbyte, by its name, as JSON"}
# Connections that their providers do without: Composer's own credentials count.
OPTIONAL_CONNECTIONS = {
    "google_cloud_default": "Google's credentials for pods on a GKE cluster of one's own",
    "kubernetes_default": "the cluster of the pods, which the place's kubeconfig names",
}
# Keys of the Kubernetes Secret that `runner.kubernetes.secret` names.
SECRETS = {"MLOPS_STUDIES": "SQLAlchemy URL of the database of Optuna's studies"}
