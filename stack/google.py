"""Google's clients for the launcher, with the credentials of the settings; imported where BigQuery is the warehouse."""

import google.auth
from google.api_core.client_options import ClientOptions
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.oauth2 import service_account

from stack.settings import ConfigError, Settings

# Repeats a failed API call for up to 30 seconds, since somebody waits for the answer.
RETRY = bigquery.DEFAULT_RETRY.with_timeout(30)
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


def credentials(settings: Settings) -> Credentials:
    """Credentials of the key file that is set, or the default ones, as tasks have them for the bucket.

    Raises:
        ConfigError: there are none.
    """
    if settings.is_emulated:
        return AnonymousCredentials()
    try:
        if keyfile := settings.config["warehouse"].get("keyfile"):
            return service_account.Credentials.from_service_account_file(keyfile, scopes=SCOPES)
        return google.auth.default(scopes=SCOPES)[0]
    except (GoogleAuthError, OSError, ValueError) as error:
        raise ConfigError(
            f"there are no Google credentials ({' '.join(str(error).split())}): run `gcloud auth application-default"
            " login`, or set warehouse.keyfile to the key file of a service account"
        ) from None


def bigquery_client(settings: Settings) -> bigquery.Client:
    """A client of the warehouse's project, as the service account to impersonate, if one is set.

    Raises:
        ConfigError: no project is set, or there are no credentials.
    """
    warehouse = settings.config["warehouse"]
    if not warehouse["project"]:
        raise ConfigError("warehouse.project is not set: give the id of your Google Cloud project, CONFIG=…")
    found, options = credentials(settings), None
    if settings.is_emulated:
        options = ClientOptions(api_endpoint=settings.url("bigquery"))
    elif account := warehouse.get("impersonate"):
        found = impersonated_credentials.Credentials(found, account, SCOPES)
    return bigquery.Client(warehouse["project"], found, location=warehouse["location"], client_options=options)
