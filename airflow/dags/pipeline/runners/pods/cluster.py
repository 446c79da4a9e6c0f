"""Requests to the API server, with errors sorted into those that may pass and those that do not."""

import base64
import json
import re
from contextlib import suppress
from typing import Any

import urllib3
from airflow.providers.common.compat.sdk import AirflowFailException
from kubernetes.client import ApiClient, CoreV1Api, V1DeleteOptions
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from pipeline.runners.pods.spec import RESULT, SIDECAR, Pod

# Seconds to connect, and between two parts of an answer.
TIMEOUT = (5, 30)
# What exec prints after the whole result.
_END = "end-of-result"
# Base64, since the client would break characters at the borders of messages.
_READ = f"[ ! -e {RESULT} ] || base64 -w 0 {RESULT}; echo ' {_END}'"
# How the provider's sidecar is told to end; it is process 1 of its container.
_END_SIDECAR = "kill -s INT 1"


class UnreachableError(Exception):
    """The API server or a kubelet does not answer; it may be starting again."""


class QuotaError(Exception):
    """A quota of the namespace has no room for a pod now."""


class Cluster:
    """The pods of one namespace.

    Every method raises UnreachableError where another try may be answered, and AirflowFailException where the request
    itself is refused.
    """

    def __init__(self, api: CoreV1Api, namespace: str):
        self.namespace = namespace
        self._api = api
        # A server that starts refuses everybody for a moment; before the first answer it means what it says.
        self._answered = False

    def create(self, pod: Pod) -> Pod:
        """Create a pod, or find that an earlier request has done so; QuotaError if a quota is used up."""
        try:
            return self._ask(self._api.create_namespaced_pod, self.namespace, pod)
        except ApiException as error:
            if error.status == 409:
                return self._ask(self._api.read_namespaced_pod, pod.metadata.name, self.namespace)
            message = message_of(error)
            if error.status == 403 and "exceeded quota" in message:
                raise QuotaError(message) from None
            if error.status == 403 and (found := re.search(r"error looking up service account (\S+?):", message)):
                remedy = "create it, or set runner.kubernetes.service_account to one that exists"
                raise AirflowFailException(f"there is no service account {found[1]}: {remedy}") from None
            raise AirflowFailException(f"Kubernetes refuses the pod: {message}") from None

    def read(self, name: str) -> Pod | None:
        """A pod; None: it is gone."""
        try:
            return self._ask(self._api.read_namespaced_pod, name, self.namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise AirflowFailException(f"the pod {name} cannot be read: {message_of(error)}") from None

    def find(self, selector: str) -> list[Pod]:
        """Pods with certain labels that are not being deleted, the newest first."""
        try:
            found = self._ask(self._api.list_namespaced_pod, self.namespace, label_selector=selector).items
        except ApiException as error:
            raise AirflowFailException(f"pods cannot be listed: {message_of(error)}") from None
        alive = [pod for pod in found if not pod.metadata.deletion_timestamp]
        return sorted(alive, key=lambda pod: pod.metadata.creation_timestamp, reverse=True)

    def label(self, name: str, labels: dict[str, str]) -> None:
        """Set labels of a pod."""
        try:
            self._ask(self._api.patch_namespaced_pod, name, self.namespace, {"metadata": {"labels": labels}})
        except ApiException as error:
            raise AirflowFailException(f"the pod {name} cannot be changed: {message_of(error)}") from None

    def events(self, uid: str) -> list[k8s.CoreV1Event]:
        """Events of a pod, the oldest first; none if they may not be read."""
        try:
            selector = f"involvedObject.uid={uid}"
            return self._ask(self._api.list_namespaced_event, self.namespace, field_selector=selector).items
        except (ApiException, UnreachableError):
            return []

    def log(self, name: str, container: str, seconds: int | None) -> list[bytes] | None:
        """The log of a container with the time of each line, of the last `seconds`; None: it cannot be read now."""
        options = {"since_seconds": seconds} if seconds else {}
        try:
            answer = self._ask(
                self._api.read_namespaced_pod_log,
                *(name, self.namespace),
                **options,
                container=container,
                timestamps=True,
                _preload_content=False,
            )
            return list(answer.stream(65536))
        except (ApiException, UnreachableError, urllib3.exceptions.HTTPError, OSError):
            return None

    def result(self, name: str) -> str | None:
        """The text of the result file from the sidecar; None: there is no file, or the sidecar has ended."""
        pod = self.read(name)
        statuses = (pod and pod.status.container_statuses) or []
        running = [each.name for each in statuses if each.state.running]
        if SIDECAR not in running:
            return None
        content, separator, _ = self._exec(name, _READ).partition(f" {_END}")
        if not separator:
            raise UnreachableError(f"the result of the pod {name} was not read to its end")
        return base64.b64decode(content).decode("utf-8", "replace") if content else None

    def delete(self, name: str) -> None:
        """Delete a pod whose command has ended or must end; its sidecar is told to end too."""
        try:
            self._ask(self._api.delete_namespaced_pod, name, self.namespace, body=V1DeleteOptions())
        except ApiException as error:
            if error.status != 404:
                raise AirflowFailException(f"the pod {name} cannot be deleted: {message_of(error)}") from None
            return
        # It may have ended already; if not, it ends after the pod's grace period.
        with suppress(UnreachableError, AirflowFailException):
            self._exec(name, _END_SIDECAR)

    def _exec(self, name: str, script: str) -> str:
        # With a client of its own: `stream` changes the client's requests, and a signal may send another one meanwhile.
        api = CoreV1Api(ApiClient(self._api.api_client.configuration))
        try:
            return stream(
                api.connect_get_namespaced_pod_exec,
                *(name, self.namespace),
                container=SIDECAR,
                command=["sh", "-c", script],
                stdin=False,
                stdout=True,
                stderr=True,
                tty=False,
                _request_timeout=TIMEOUT[1],
            )
        except AttributeError as error:
            # The client (36.0) fails over a refused connection, whose error has no body.
            refused = error.__context__
            if not isinstance(refused, ApiException):
                raise
            reason = str(refused.reason)
        except ApiException as error:
            reason = message_of(error)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            reason = _short(error)
        if "403 Forbidden" in reason:
            remedy = "Airflow's account needs the verbs get and create on pods/exec"
            raise AirflowFailException(f"the result cannot be read from the pod {name}: {remedy}")
        raise UnreachableError(reason)

    def _ask(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            answer = request(*args, **kwargs, _request_timeout=TIMEOUT)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(_short(error)) from None
        except ApiException as error:
            starting = self._answered and error.status in (401, 403) and request != self._api.create_namespaced_pod
            if not error.status or error.status in (408, 429) or error.status >= 500 or starting:
                raise UnreachableError(message_of(error)) from None
            raise
        self._answered = True
        return answer


def message_of(error: ApiException) -> str:
    """What the server said."""
    try:
        return json.loads(error.body or "")["message"]
    except (TypeError, ValueError, KeyError):
        text = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else error.body
        return f"{error.status} {' '.join(str(text or error.reason).split())}"


def _short(error: Exception) -> str:
    """The innermost cause, without the URL and objects of urllib3."""
    reason = getattr(error, "reason", None)
    text = str(reason if reason else error)
    return re.sub(r"^<?[\w.]+(\(.*?\))?( object at 0x\w+>)?: ", "", text)
