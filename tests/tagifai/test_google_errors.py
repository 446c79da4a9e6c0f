"""What an error of Google's libraries means: try again, or change something."""

import concurrent.futures

import pytest
from gcsfs import GCSFileSystem
from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, ServiceUnavailable, Unauthorized
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError

from tagifai import artifacts
from tagifai.errors import ServiceError, TagifaiError
from tagifai.settings import BigQuery
from tagifai.warehouse.bigquery_client import reported

BIGQUERY = BigQuery(type="bigquery", project="shop", location="EU", maximum_bytes_billed=1, job_timeout=1)
PASSING = {
    TransportError("no route to oauth2.googleapis.com"): "Check the network",
    RefreshError("internal failure", retryable=True): "Check the network",
    ConnectionResetError("reset by peer"): "Check the network",
    ServiceUnavailable("restarting"): "Check the network",
    concurrent.futures.TimeoutError("job 1 takes longer"): "Raise warehouse.job_timeout",
    GoogleAPICallError("Job timed out", errors=[{"reason": "stopped"}]): "Raise warehouse.job_timeout",
}
LASTING = {
    RefreshError("invalid_grant"): "Log in with",
    DefaultCredentialsError("none found"): "Log in with",
    FileNotFoundError("key.json"): "Log in with",
    Unauthorized("token"): "Log in with",
    Forbidden("jobs.create"): "Give the account the roles",
    NotFound("shop"): "Check warehouse.project",
}


def kind_and_message(error):
    with pytest.raises(TagifaiError) as caught, reported(BIGQUERY):
        raise error
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_an_outage_of_bigquery_may_be_tried_again(error):
    kind, message = kind_and_message(error)
    assert kind is ServiceError
    assert PASSING[error] in message


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_somebody_has_to_change_is_not_tried_again(error):
    kind, message = kind_and_message(error)
    assert kind is TagifaiError
    assert LASTING[error] in message


@pytest.mark.parametrize(
    ("error", "kind"), [(TransportError("no route"), ServiceError), (RefreshError("invalid_grant"), TagifaiError)]
)
def test_a_bucket_whose_token_cannot_be_had_now_may_be_tried_again(monkeypatch, error, kind):
    def failing(_, **__):
        raise error

    monkeypatch.setattr(artifacts.fsspec, "url_to_fs", failing)
    with pytest.raises(TagifaiError) as caught:
        artifacts.exists("gs://shop/models")
    assert type(caught.value) is kind


def test_a_bucket_is_never_read_as_nobody(monkeypatch, tmp_path):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    # Of an earlier test, with the emulator's key.
    GCSFileSystem.clear_instance_cache()
    with pytest.raises(TagifaiError, match=r"missing\.json was not found.*Log in with") as caught:
        artifacts.exists("gs://a-public-bucket/models")
    assert type(caught.value) is TagifaiError
