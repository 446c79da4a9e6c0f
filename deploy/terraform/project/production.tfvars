# The place that others rely on: what differs from the defaults of variables.tf. The project is given by TF_VAR_project.
place = "production"

composer = {
  size      = "medium"
  scheduler = { cpu = 2, memory = 4, count = 2 }
  worker    = { cpu = 2, memory = 8, min = 1, max = 6 }
}

database = {
  tier              = "db-custom-2-7680"
  high_availability = true
}
