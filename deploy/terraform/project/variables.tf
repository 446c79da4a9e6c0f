# --- which place ---

variable "place" {
  description = "Name of the place, as in config/places: staging, production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.place))
    error_message = "The place must be 2 to 12 lower-case letters and digits and begin with a letter: it is part of names."
  }
}

variable "project" {
  description = "Id of an existing Google Cloud project with billing."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,25}[a-z0-9]$", var.project))
    error_message = "The project must be given by its id, such as our-project-123, not by its name or number, and have at most 27 characters: Airflow knows a caller by an e-mail address of at most 64."
  }
}

variable "region" {
  description = "Region of everything but the datasets."
  type        = string
  default     = "europe-west1"
}

variable "bigquery_location" {
  description = "Location of the datasets: a region, EU or US."
  type        = string
  default     = "EU"
}

variable "protect" {
  description = "Whether Terraform refuses to delete what holds data. Set it to false and apply before you destroy."
  type        = bool
  default     = true
}

# --- sizes ---

variable "composer" {
  description = <<-EOT
    The Composer environment.
    image_version: build of Composer 3; 3.1.7 is the oldest Airflow that our DAGs run on, 3.2.2 the one they are tested
    with most, and they do not run on 3.3.
    size: small, medium or large; of Composer's own database and queue.
    scheduler, web_server, worker, triggerer, dag_processor: vCPUs and GB of memory of one; count, of workers min and max.
  EOT
  type = object({
    image_version = optional(string, "composer-3-airflow-3.2.2")
    size          = optional(string, "small")
    scheduler     = optional(object({ cpu = number, memory = number, count = number }), { cpu = 1, memory = 2, count = 1 })
    web_server    = optional(object({ cpu = number, memory = number }), { cpu = 1, memory = 2 })
    worker        = optional(object({ cpu = number, memory = number, min = number, max = number }), { cpu = 1, memory = 4, min = 1, max = 3 })
    triggerer     = optional(object({ cpu = number, memory = number, count = number }), { cpu = 0.5, memory = 1, count = 1 })
    dag_processor = optional(object({ cpu = number, memory = number, count = number }), { cpu = 1, memory = 4, count = 1 })
  })
  default = {}

  validation {
    condition     = can(regex("^composer-3-airflow-3\\.(1\\.([7-9]|[1-9][0-9])|2\\.[0-9]+)(-build\\.[0-9]+)?$", var.composer.image_version))
    error_message = "composer.image_version must be a build of Airflow 3.1.7 to 3.2, such as composer-3-airflow-3.2.2."
  }

  validation {
    condition     = contains(["small", "medium", "large"], var.composer.size)
    error_message = "composer.size must be small, medium or large."
  }

  validation {
    condition     = var.composer.worker.min >= 1 && var.composer.worker.max >= var.composer.worker.min
    error_message = "composer.worker.min must be 1 or more, and not above composer.worker.max."
  }
}

variable "database" {
  description = <<-EOT
    Cloud SQL for MLflow, the studies and Airbyte: machine type, GB of disk at the start, and a standby in another zone.
    public_from: networks, as in 192.0.2.0/24, that reach it from outside, with TLS only; none: it has no public address.
  EOT
  type = object({
    tier              = optional(string, "db-custom-1-3840")
    disk              = optional(number, 10)
    high_availability = optional(bool, false)
    public_from       = optional(list(string), [])
  })
  default = {}

  validation {
    condition     = alltrue([for each in var.database.public_from : can(cidrnetmask(each)) && !endswith(each, "/0")])
    error_message = "database.public_from must be IPv4 networks such as 192.0.2.0/24 or 192.0.2.7/32, and not the whole Internet."
  }

  validation {
    condition     = length(var.database.public_from) == 0 || var.airbyte != "cluster"
    error_message = "database.public_from cannot be set with airbyte = \"cluster\", whose database also takes connections without TLS."
  }
}

variable "mlflow" {
  description = <<-EOT
    The MLflow server on Cloud Run.
    image: mlops-mlflow in the registry, by its digest; null: no server yet (the first apply makes the registry).
    min_instances: 0 costs nothing while nobody asks, and then the first answer takes half a minute.
  EOT
  type = object({
    image         = optional(string)
    min_instances = optional(number, 0)
  })
  default = {}

  validation {
    condition     = var.mlflow.image == null || can(regex("@sha256:[0-9a-f]{64}$", var.mlflow.image))
    error_message = "mlflow.image must be given by its digest, NAME@sha256:…; `docker/push` prints it."
  }
}

# --- passwords ---

variable "passwords" {
  description = "Passwords that Terraform hands on and never stores; docs/production.md says where they are kept."
  type = object({
    mlflow_database  = string
    mlflow_admin     = string
    mlflow_key       = string
    studies_database = string
    airbyte_database = string
  })
  ephemeral = true
  sensitive = true

  validation {
    # They become parts of URLs and of a configuration file, without quotes.
    condition     = alltrue([for each in values(var.passwords) : can(regex("^[A-Za-z0-9_-]{24,}$", each))])
    error_message = "Each password must be 24 or more letters, digits, _ and -."
  }
}

variable "passwords_version" {
  description = "Raise it to replace the passwords: Terraform cannot see that they changed."
  type        = number
  default     = 1
}

variable "airflow_secrets" {
  description = "Names of further secrets of Airflow, airflow-connections-NAME and airflow-variables-NAME, for deploy.connections and deploy.variables of the place."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.airflow_secrets : can(regex("^airflow-(connections|variables)-[A-Za-z0-9_-]+$", each))])
    error_message = "airflow_secrets must be names such as airflow-connections-slack."
  }
}

# --- who deploys ---

variable "deployers" {
  description = "People and groups who may run `make deploy` as the account of deploys: user:ada@example.com, group:…"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.deployers : can(regex("^(user|group):[^@ ]+@[^@ ]+$", each))])
    error_message = "deployers must be user:ADDRESS or group:ADDRESS."
  }
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose workflow deploys this place, without keys; null: none."
  type        = string
  default     = null

  validation {
    condition     = var.github_repository == null || can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be OWNER/NAME."
  }
}

# --- optional parts ---

variable "budget" {
  description = "A budget of the project: billing account, amount a month in the account's currency, and who gets e-mails beside the account's administrators; null: none."
  type = object({
    billing_account = string
    amount          = number
    emails          = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.budget == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "budget.billing_account must be an id such as 012345-6789AB-CDEF01."
  }
}

variable "cluster" {
  description = <<-EOT
    A GKE cluster of one's own for pods that Composer cannot run (`runner.type: gke`), and for Airbyte; null: none.
    machine_type, accelerators, max_nodes: of the pool of tasks, which has no node while no task runs.
    accelerators: {type = "nvidia-l4", count = 1}; zones: where the machine type exists; null: all of the region.
  EOT
  type = object({
    machine_type = optional(string, "e2-standard-4")
    accelerators = optional(object({ type = string, count = number }))
    max_nodes    = optional(number, 4)
    zones        = optional(list(string))
  })
  default = null

  validation {
    condition     = var.cluster == null || try(var.cluster.max_nodes >= 1, false)
    error_message = "cluster.max_nodes must be 1 or more."
  }
}

variable "airbyte" {
  description = "Where Airbyte runs: cluster (Airbyte OSS on our GKE cluster) or cloud (Airbyte Cloud)."
  type        = string
  default     = "cloud"

  validation {
    condition     = contains(["cluster", "cloud"], var.airbyte)
    error_message = "airbyte must be cluster or cloud."
  }

  validation {
    condition     = var.airbyte != "cluster" || var.cluster != null
    error_message = "airbyte = \"cluster\" needs a cluster: set cluster = {}."
  }
}
