# What is inside of the GKE cluster of a place: the namespace of tasks, and Airbyte. Applied after deploy/terraform/project.
terraform {
  required_version = ">= 1.11"

  backend "gcs" {}

  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 2.17"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 2.38"
    }
  }
}

# The context that `gcloud container clusters get-credentials` makes.
provider "kubernetes" {
  config_path    = var.kubeconfig
  config_context = var.context
}

provider "helm" {
  kubernetes {
    config_path    = var.kubeconfig
    config_context = var.context
  }
}
