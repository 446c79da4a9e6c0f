"""Checks that external services, named in `.env`, answer and accept the login."""

from contextlib import suppress

import httpx

from stack.compose.settings import Settings
from stack.errors import StackError

# Seconds.
TIMEOUT = 20


def require(settings: Settings) -> None:
    """Log in to an external Airbyte and MLflow; a StackError names the settings to fix."""
    told = settings.environment
    if told.airbyte_url:
        login = {"client_id": settings.airbyte_client_id, "client_secret": settings.secrets["airbyte_client_secret"]}
        url = f"{settings.url('airbyte')}/api/public/v1/applications/token"
        body = {**login, "grant-type": "client_credentials"}
        _ask("AIRBYTE_URL", "AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET", "access_token", url, json=body)
    if told.mlflow_url:
        login = (settings.mlflow_user, settings.secrets["mlflow_admin"]) if settings.mlflow_user else None
        url = f"{settings.url('mlflow')}/api/2.0/mlflow/experiments/search"
        body = {"max_results": 1}
        _ask("MLFLOW_URL", "MLFLOW_USERNAME and MLFLOW_PASSWORD", "", url, json=body, auth=login)


def _ask(setting: str, login: str, expected: str, url: str, **request) -> None:
    try:
        answer = httpx.post(url, timeout=TIMEOUT, **request)
    except httpx.HTTPError as error:
        raise StackError(f"{setting}: {url} does not answer ({error!r}); correct it in .env, or start it") from None
    if answer.status_code in (400, 401, 403):
        reason = f"{answer.status_code} {' '.join(answer.text.split())[:200]}"
        raise StackError(f"{setting}: {url} refuses the login ({reason}); correct {login} in .env")
    body = None
    with suppress(ValueError):
        body = answer.json()
    if not answer.is_success or not isinstance(body, dict) or (expected and expected not in body):
        raise StackError(
            f"{setting}: {url} answers {answer.status_code}, so it may be another program; correct it in .env"
        )
