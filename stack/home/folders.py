"""The folders under `var` that the docs server serves, by the first part of the URL's path."""

FOLDERS = {"data-docs": "great_expectations/data_docs", "dbt-docs": "dbt/docs", "runs": "explain"}
