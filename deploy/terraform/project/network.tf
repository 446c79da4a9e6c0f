# A network of our own: the database has no public address.
resource "google_compute_network" "all" {
  name                    = local.name
  auto_create_subnetworks = false

  depends_on = [google_project_service.all]
}

resource "google_compute_subnetwork" "all" {
  name                     = local.name
  network                  = google_compute_network.all.id
  region                   = var.region
  ip_cidr_range            = "10.10.0.0/20"
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = "10.20.0.0/16"
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = "10.30.0.0/20"
  }
}

# The peering by which Cloud SQL gets an address in the network.
resource "google_compute_global_address" "services" {
  name          = "${local.name}-services"
  network       = google_compute_network.all.id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  address       = "10.40.0.0"
  prefix_length = 20
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.all.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]
  # Cloud SQL may hold the peering for days after the instance is gone; it is deleted with the network.
  deletion_policy = "ABANDON"
}
