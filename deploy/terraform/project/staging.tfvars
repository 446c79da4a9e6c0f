# The small place: what differs from the defaults of variables.tf. The project is given by TF_VAR_project.
place   = "staging"
protect = false

database = {
  tier = "db-g1-small"
}
