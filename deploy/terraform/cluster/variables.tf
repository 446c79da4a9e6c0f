variable "context" {
  description = "Context of the cluster in the kubeconfig, gke_PROJECT_REGION_NAME: never another one by accident."
  type        = string

  validation {
    condition     = startswith(var.context, "gke_")
    error_message = "The context must be that of a GKE cluster, gke_PROJECT_REGION_NAME."
  }
}

variable "kubeconfig" {
  description = "The kubeconfig that has the context."
  type        = string
  default     = "~/.kube/config"
}

variable "outputs" {
  description = "The output `cluster` of deploy/terraform/project."
  type = object({
    accounts         = object({ composer = string, pods = string, airbyte = string })
    airbyte          = string
    database_address = string
  })
}

variable "passwords" {
  description = "The same passwords as for deploy/terraform/project."
  type = object({
    mlflow_database  = string
    mlflow_admin     = string
    mlflow_key       = string
    studies_database = string
    airbyte_database = string
  })
  ephemeral = true
  sensitive = true
}

variable "passwords_version" {
  description = "Raise it to replace the passwords: Terraform cannot see that they changed."
  type        = number
  default     = 1
}

variable "airbyte_chart" {
  description = "Version of Airbyte's Helm chart, 2 or later."
  type        = string
  default     = "2.1.1"

  validation {
    condition     = can(regex("^([2-9]|[1-9][0-9]+)\\.[0-9]+\\.[0-9]+$", var.airbyte_chart))
    error_message = "airbyte_chart must be an exact version of 2 or later: the values of version 1 have other names."
  }
}
