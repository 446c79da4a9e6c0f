"""Validation results and data docs of Great Expectations in a bucket of Cloud Storage.

Importing this module imports Great Expectations and Google's library.
"""

from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud import storage
from great_expectations.data_context.store.tuple_store_backend import TupleStoreBackend
from great_expectations.exceptions import InvalidKeyError

# Where a browser can log in; the host of the API answers only to tokens.
_API, _BROWSER = "https://storage.googleapis.com/", "https://storage.cloud.google.com/"


class BucketStoreBackend(TupleStoreBackend):
    """Objects below `root`, gs://BUCKET/FOLDER; an object is there as soon as all of it has arrived."""

    def __init__(self, *, root: str, **kwargs: Any):
        # Of local file systems.
        kwargs |= {"platform_specific_separator": False}
        kwargs.pop("root_directory", None)
        super().__init__(**kwargs)
        bucket, _, folder = root.removeprefix("gs://").partition("/")
        # Credentials need not name a project, and objects do not ask for one.
        self._bucket, self._folder = storage.Client(project=None).bucket(bucket), folder.strip("/")
        self._config = {"root": root, "class_name": type(self).__name__, "module_name": __name__, **kwargs}

    def list_keys(self, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        """The keys of all objects below a prefix."""
        keys, start = [], f"{self._folder}/"
        for blob in self._bucket.client.list_blobs(self._bucket, prefix=start + "".join(f"{each}/" for each in prefix)):
            path = blob.name.removeprefix(start)
            if not self._is_missing_prefix_or_suffix(self.filepath_prefix or "", self.filepath_suffix or "", path):
                key = self._convert_filepath_to_key(path)
                if key and not self.is_ignored_key(key):
                    keys.append(key)
        return keys

    def remove_key(self, key: Any) -> Any:
        """Delete an object; returns whether it was there."""
        try:
            self._blob(key if isinstance(key, tuple) else key.to_tuple()).delete()
        except NotFound:
            # Another process was faster.
            return False
        return True

    def get_url_for_key(self, key: tuple[str, ...], protocol: str | None = None) -> str:
        """Address for a browser, whose user needs the right to read the bucket."""
        return self._blob(key).public_url.replace(_API, _BROWSER)

    def _get(self, key: tuple[str, ...]) -> Any:
        try:
            return self._blob(key).download_as_text()
        except NotFound as error:
            raise InvalidKeyError(f"there is no object {self._blob(key).name} in {self._bucket.name}") from error

    def _get_all(self) -> list[str]:
        return [self._get(key) for key in self.list_keys()]

    def _set(self, key: tuple[str, ...], value: str | bytes, content_type: str = "application/json", **_: Any) -> Any:
        blob = self._blob(key)
        blob.cache_control = "no-cache"
        is_page = self._convert_key_to_filepath(key).endswith(".html")
        blob.upload_from_string(value, content_type="text/html" if is_page else content_type)
        return self.get_url_for_key(key)

    def _move(self, source_key: Any, dest_key: Any, **_: Any) -> None:
        raise NotImplementedError("results are never renamed")

    def _has_key(self, key: tuple[str, ...]) -> bool:
        return self._blob(key).exists()

    def _blob(self, key: tuple[str, ...]) -> storage.Blob:
        return self._bucket.blob(f"{self._folder}/{self._convert_key_to_filepath(key)}")
