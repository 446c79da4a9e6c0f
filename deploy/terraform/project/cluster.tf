# A GKE cluster for pods of tasks that Composer's own cluster cannot run, and for Airbyte. What is inside of it is in
# deploy/terraform/cluster: Terraform cannot plan that before the cluster exists.

locals {
  clusters = var.cluster == null ? {} : { tasks = var.cluster }
}

# Nodes have no public addresses; images that are not in our registry come this way.
resource "google_compute_router" "all" {
  for_each = local.clusters

  name    = local.name
  network = google_compute_network.all.id
  region  = var.region
}

resource "google_compute_router_nat" "all" {
  for_each = local.clusters

  name                               = local.name
  router                             = google_compute_router.all[each.key].name
  region                             = var.region
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"
}

resource "google_container_cluster" "all" {
  for_each = local.clusters

  name                     = local.name
  location                 = var.region
  network                  = google_compute_network.all.id
  subnetwork               = google_compute_subnetwork.all.id
  remove_default_node_pool = true
  initial_node_count       = 1
  deletion_protection      = var.protect

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes = true
    # Google's accounts reach the API server from everywhere, others do not.
    enable_private_endpoint = false
    master_ipv4_cidr_block  = "10.50.0.0/28"
  }

  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }

  release_channel {
    channel = "REGULAR"
  }

  depends_on = [google_project_service.all]
}

# For Kubernetes' own pods and Airbyte.
resource "google_container_node_pool" "services" {
  for_each = local.clusters

  name     = "services"
  cluster  = google_container_cluster.all[each.key].name
  location = var.region

  autoscaling {
    total_min_node_count = 1
    total_max_node_count = 3
    location_policy      = "ANY"
  }

  node_config {
    machine_type    = var.airbyte == "cluster" ? "e2-standard-4" : "e2-standard-2"
    service_account = google_service_account.all["nodes"].email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }
}

# For tasks only: `runner.kubernetes.node_selector` and `.tolerations` choose it.
resource "google_container_node_pool" "tasks" {
  for_each = local.clusters

  name               = "tasks"
  cluster            = google_container_cluster.all[each.key].name
  location           = var.region
  node_locations     = each.value.zones
  initial_node_count = 0

  autoscaling {
    total_min_node_count = 0
    total_max_node_count = each.value.max_nodes
    location_policy      = "ANY"
  }

  node_config {
    machine_type    = each.value.machine_type
    service_account = google_service_account.all["nodes"].email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    labels          = { pool = "tasks" }

    taint {
      key    = "pool"
      value  = "tasks"
      effect = "NO_SCHEDULE"
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    dynamic "guest_accelerator" {
      for_each = each.value.accelerators[*]
      content {
        type  = guest_accelerator.value.type
        count = guest_accelerator.value.count
        gpu_driver_installation_config {
          gpu_driver_version = "DEFAULT"
        }
      }
    }
  }

  lifecycle {
    # Only the size at its creation.
    ignore_changes = [initial_node_count]
  }
}

# Pods act as Google's accounts without a key: NAMESPACE/ACCOUNT in Kubernetes, as deploy/terraform/cluster names them.
resource "google_service_account_iam_member" "pods" {
  for_each = var.cluster == null ? {} : merge(
    { pods = "mlops/mlops-tasks" },
    var.airbyte == "cluster" ? { airbyte = "airbyte/airbyte-admin" } : {},
  )

  service_account_id = google_service_account.all[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${google_container_cluster.all["tasks"].workload_identity_config[0].workload_pool}[${each.value}]"
}
