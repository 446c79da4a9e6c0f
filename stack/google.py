"""Google's clients for the launcher, with the credentials of the settings; imported where BigQuery is the warehouse."""

import google.auth
from google.api_core.client_options import ClientOptions
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from stack.settings import ConfigError, Settings

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


def credentials(settings: Settings) -> Credentials:
    """Credentials of the key file that is set, or the default ones; of the service account to impersonate, if one is.

    Raises:
        ConfigError: there are none.
    """
    if settings.is_emulated:
        return AnonymousCredentials()
    warehouse = settings.config["warehouse"]
    try:
        if keyfile := warehouse.get("keyfile"):
            found, _ = google.auth.load_credentials_from_file(keyfile, scopes=SCOPES)
        else:
            found, _ = google.auth.default(scopes=SCOPES)
    except (GoogleAuthError, OSError) as error:
        raise ConfigError(
            f"there are no Google credentials ({' '.join(str(error).split())}): run `gcloud auth application-default"
            " login`, or set warehouse.keyfile to the key file of a service account"
        ) from None
    if account := warehouse.get("impersonate"):
        return impersonated_credentials.Credentials(found, account, SCOPES)
    return found


def bigquery_client(settings: Settings) -> bigquery.Client:
    """A client of the warehouse's project.

    Raises:
        ConfigError: no project is set, or there are no credentials.
    """
    warehouse = settings.config["warehouse"]
    if not warehouse["project"]:
        raise ConfigError("warehouse.project is not set: give the id of your Google Cloud project, CONFIG=…")
    options = ClientOptions(api_endpoint=settings.url("bigquery")) if settings.is_emulated else None
    return bigquery.Client(
        warehouse["project"], credentials(settings), location=warehouse["location"], client_options=options
    )
