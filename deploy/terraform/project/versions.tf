# The Google Cloud project of one place, staging or production. docs/production.md explains each step.
terraform {
  # Write-only arguments, which keep passwords out of the state, need 1.11.
  required_version = ">= 1.11"

  # Which bucket and prefix is said by `terraform init -backend-config=…`.
  backend "gcs" {}

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
  # The API of budgets asks which project its calls belong to.
  user_project_override = true
  billing_project       = var.project
  default_labels        = local.labels
}

locals {
  # In front of every name.
  name = "mlops-${var.place}"
  labels = {
    app   = "mlops"
    place = var.place
  }
}
