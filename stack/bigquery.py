"""BigQuery for people: the checks of `make doctor`, and what `make clean` deletes."""

import uuid
from collections.abc import Iterator
from contextlib import suppress

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery
from google.cloud.bigquery.dataset import DatasetListItem
from requests import RequestException

from stack.checks import Check
from stack.google import RETRY, bigquery_client, credentials
from stack.settings import ConfigError, Settings

# Every dataset and job of ours has it.
LABEL = ("app", "mlops")
ROLES = "roles/bigquery.jobUser, roles/bigquery.dataEditor and roles/bigquery.readSessionUser"
STORAGE = "https://storage.googleapis.com"


def checks(settings: Settings) -> Iterator[Check]:
    """Check credentials, roles, location and billing of the warehouse by dry runs, and the bucket of the artifacts."""
    try:
        client = bigquery_client(settings)
    except ConfigError as error:
        yield Check("BigQuery", "fail", str(error), "then run the check again")
        return
    project, location = client.project, client.location
    try:
        _dry_run(client, "select 1")
        datasets = ours(client, settings)
        elsewhere = {each.dataset_id: where for each in datasets if (where := _location(client, each)) != location}
        if elsewhere:
            found = ", ".join(f"{name} is in {where}" for name, where in elsewhere.items())
            yield Check(
                "BigQuery", "fail", found, f"set warehouse.location to that, not {location}, or warehouse.prefix"
            )
            return
        for each in datasets:
            _dry_run(client, f"create table `{project}.{each.dataset_id}.doctor_{uuid.uuid4().hex}` (id int64)")
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        yield _refused(error, project)
    else:
        found = f"project {project} in {location} runs our jobs; {len(datasets)} datasets are ours"
        yield Check("BigQuery", "ok", found)
    if settings.artifacts.startswith("gs://"):
        yield _bucket(settings)


def ours(client: bigquery.Client, settings: Settings) -> list[DatasetListItem]:
    """Datasets with the prefix of the settings, by their labels: a name may belong to a longer prefix as well."""
    prefix = settings.config["warehouse"]["prefix"]
    wanted = {LABEL, ("prefix", prefix)}
    # All: BigQuery calls a dataset hidden whose name begins with `_`.
    datasets = client.list_datasets(include_all=True, retry=RETRY)
    return [each for each in datasets if wanted <= {*each.labels.items()} and each.dataset_id.startswith(prefix)]


def delete(client: bigquery.Client, dataset: DatasetListItem) -> None:
    """Delete a dataset with all its tables."""
    client.delete_dataset(dataset.reference, delete_contents=True, not_found_ok=True, retry=RETRY)


def _dry_run(client: bigquery.Client, statement: str) -> None:
    """Let BigQuery check a statement: whether we may run it there, and who pays; nothing runs and nothing is billed."""
    config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
    client.query(statement, job_config=config, retry=RETRY, job_retry=None)


def _location(client: bigquery.Client, dataset: DatasetListItem) -> str:
    return str(client.get_dataset(dataset.reference, retry=RETRY).location)


def _refused(error: Exception, project: str) -> Check:
    message = " ".join(str(error).split())
    if "billing" in message.lower():
        remedy = f"link project {project} to a billing account: without one, BigQuery refuses to change rows"
    elif isinstance(error, Forbidden):
        remedy = f"ask for {ROLES} in project {project}"
    elif isinstance(error, NotFound):
        remedy = "correct warehouse.project or warehouse.location"
    elif isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
        remedy = "`gcloud auth application-default login`, or correct warehouse.keyfile or warehouse.impersonate"
    else:
        remedy = "check the network, and warehouse.project and warehouse.location"
    return Check("BigQuery", "fail", message, remedy)


def _bucket(settings: Settings) -> Check:
    """Check that a file can be written to the root of the artifacts and deleted."""
    bucket, _, folder = settings.artifacts.removeprefix("gs://").partition("/")
    name = f"{folder}/doctor-{uuid.uuid4().hex}".lstrip("/")
    base = settings.url("storage") if settings.is_emulated else STORAGE
    remedy = f"create the bucket, or ask for roles/storage.objectAdmin on {bucket}; or correct `artifacts`"
    try:
        session = AuthorizedSession(credentials(settings))
        where, asked = f"{base}/upload/storage/v1/b/{bucket}/o", {"uploadType": "media", "name": name}
        answer = session.post(where, params=asked, data=b"doctor", timeout=60)
        if not answer.ok:
            return Check("bucket", "fail", f"{settings.artifacts}: {answer.status_code} {answer.reason}", remedy)
        with suppress(RequestException):
            session.delete(f"{base}/storage/v1/b/{bucket}/o/{name.replace('/', '%2F')}", timeout=60)
    except (GoogleAuthError, RequestException, ConfigError) as error:
        return Check("bucket", "fail", f"{settings.artifacts}: {' '.join(str(error).split())}", remedy)
    return Check("bucket", "ok", f"{settings.artifacts} can be written")
