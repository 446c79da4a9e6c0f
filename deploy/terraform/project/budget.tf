# A budget warns; it stops nothing.

locals {
  budgets = var.budget == null ? {} : { project = var.budget }
}

# Budgets know projects by number.
data "google_project" "all" {
  for_each = local.budgets

  depends_on = [google_project_service.all]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.budget == null ? [] : var.budget.emails)

  display_name = "MLOps budget: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }

  depends_on = [google_project_service.all]
}

resource "google_billing_budget" "all" {
  for_each = local.budgets

  billing_account = each.value.billing_account
  display_name    = local.name

  budget_filter {
    projects = ["projects/${data.google_project.all[each.key].number}"]
  }

  amount {
    specified_amount {
      units = tostring(each.value.amount)
    }
  }

  threshold_rules {
    threshold_percent = 0.5
  }
  threshold_rules {
    threshold_percent = 0.9
  }
  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = [for each in google_monitoring_notification_channel.email : each.id]
  }

  depends_on = [google_project_service.all]
}
