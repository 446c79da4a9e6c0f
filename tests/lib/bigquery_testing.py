"""Projects of the stand-in for BigQuery, in environments that have Google's client."""

import json
import uuid
from contextlib import closing

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery


class Project:
    """An empty project of the stand-in for BigQuery."""

    def __init__(self, server, key):
        self.name = f"project-{uuid.uuid4().hex[:12]}"
        # As the config has them.
        self.settings = {
            "type": "bigquery",
            "project": self.name,
            "location": "EU",
            "prefix": "ada_",
            "maximum_bytes_billed": 10_000_000_000,
            "job_timeout": 600,
            "labels": {"place": "tests"},
            "storage_api": server["grpc"],
        }
        # What Google's clients read.
        self.google = {"BIGQUERY_EMULATOR_HOST": server["url"], "GOOGLE_APPLICATION_CREDENTIALS": str(key)}

    @property
    def environment(self):
        """Environment variables that make the project the warehouse."""
        given = {key: json.dumps(value) if key == "labels" else str(value) for key, value in self.settings.items()}
        return self.google | {f"MLOPS_WAREHOUSE__{key.upper()}": value for key, value in given.items()}

    def client(self):
        """A client of Google's, to be closed."""
        options = {"api_endpoint": self.google["BIGQUERY_EMULATOR_HOST"]}
        client = bigquery.Client(self.name, AnonymousCredentials(), client_options=options, location="EU")
        return closing(client)

    def sql(self, statement):
        """Rows of a statement, as lists of Python's values."""
        with self.client() as client:
            return [list(row.values()) for row in client.query(statement, job_retry=None).result(job_retry=None)]
