"""Validation results and data docs in a bucket."""

import multiprocessing

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.great_expectations.test_results import run_often


@pytest.fixture
def shared(place, bucket, monkeypatch):
    """The place with its artifacts in a bucket."""
    monkeypatch.setenv("MLOPS_ARTIFACTS", bucket)
    place.root = bucket
    return place


def objects(place):
    """Contents of the application's objects by name, which begins with `validations` or `data_docs`."""
    bucket, folder = place.root.removeprefix("gs://").split("/")
    client = storage.Client("demo", AnonymousCredentials())
    start = f"{folder}/great_expectations/"
    blobs = client.list_blobs(bucket, prefix=start)
    return {blob.name.removeprefix(start).replace("tagifai/", "", 1): blob.download_as_text() for blob in blobs}


def pages(names):
    return {name.removeprefix("data_docs/") for name in names if name.startswith("data_docs/validations/")}


def test_a_run_is_in_the_bucket_and_nothing_is_in_the_folder(shared):
    shared.sql("update raw.tags set tag = null where id = 4")
    gate = shared.run("tags")
    found = objects(shared)
    (page,) = pages(found)
    assert f'href="{page}"' in found["data_docs/index.html"]
    assert [name for name in found if name.startswith("validations/tags/")]
    assert page in gate.error_message()
    assert gate.report()["links"]["data docs"].startswith("http")
    assert not (shared.var / "great_expectations").exists()


def test_only_the_newest_results_and_their_pages_are_kept(shared):
    shared.configure("checks", keep_results=2)
    for checkpoint in ("tags", "projects", "tags"):
        shared.run(checkpoint)
    found = objects(shared)
    assert len([name for name in found if name.startswith("validations/")]) == 2
    assert len(pages(found)) == 2
    assert all(f'href="{page}"' in found["data_docs/index.html"] for page in pages(found))


def test_all_checkpoints_of_two_processes_without_a_lock_are_in_the_index(shared):
    forked = multiprocessing.get_context("fork")
    barrier = forked.Barrier(2)
    processes = [forked.Process(target=run_often, args=(shared, name, barrier)) for name in ("projects", "tags")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
        assert process.exitcode == 0
    found = objects(shared)
    assert len(pages(found)) == 8
    assert all(f'href="{page}"' in found["data_docs/index.html"] for page in pages(found))
