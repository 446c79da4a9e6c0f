# The budget; in a file of its own, since the number of the project is known only when it is applied.

mock_provider "google" {}

override_data {
  target = data.google_project.all["project"]
  values = { number = "1234567890" }
}

variables {
  place   = "staging"
  project = "demo-project"
  passwords = {
    mlflow_database  = "mlflow-database-password"
    mlflow_admin     = "mlflow-admin-password-123"
    mlflow_key       = "mlflow-key-0123456789-0123"
    studies_database = "studies-database-password"
    airbyte_database = "airbyte-database-password"
  }
}

run "a_budget_warns_by_e_mail" {
  command = apply

  variables {
    budget = { billing_account = "012345-6789AB-CDEF01", amount = 500, emails = ["a@example.com", "b@example.com"] }
  }

  assert {
    condition     = google_billing_budget.all["project"].amount[0].specified_amount[0].units == "500" && toset(google_billing_budget.all["project"].budget_filter[0].projects) == toset(["projects/1234567890"])
    error_message = "the budget has another amount, or another project"
  }

  assert {
    condition     = length(google_monitoring_notification_channel.email) == 2 && length(google_billing_budget.all["project"].all_updates_rule[0].monitoring_notification_channels) == 2
    error_message = "each address gets the warnings"
  }
}
