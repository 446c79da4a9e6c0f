"""The launcher's requests to the cluster of the pods."""

from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

import kubernetes
import urllib3
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException

from pipeline.runners import environment
from stack.environments import common_environment, task_environment
from stack.errors import StackError
from stack.pods.settings import LOCAL, own_secret
from stack.settings import Settings

# Seconds to connect, and for an answer.
TIMEOUT = (5, 30)
# What Airflow's account must be allowed in the namespace: verb, resource, subresource.
NEEDED = (
    *(("create", "pods", ""), ("list", "pods", ""), ("get", "pods", ""), ("patch", "pods", ""), ("delete", "pods", "")),
    *(("get", "pods", "log"), ("create", "pods", "exec"), ("get", "pods", "exec")),
)


class Cluster:
    """The namespace of an instance's pods; every method raises StackError if the cluster does not answer or refuses."""

    def __init__(self, settings: Settings):
        """Read the kubeconfig; a StackError if there is none, or its context is missing."""
        self._settings = settings
        pods = settings.config["runner"]["kubernetes"]
        self.namespace, self.context = pods["namespace"], pods["context"]
        configuration = kubernetes.client.Configuration()
        try:
            kubernetes.config.load_kube_config(
                pods["kubeconfig"], pods["context"], client_configuration=configuration, persist_config=False
            )
        except (kubernetes.config.ConfigException, OSError) as error:
            remedy = (
                "set KUBECONFIG or runner.kubernetes.kubeconfig to the file of your cluster, and .context to a context"
            )
            raise StackError(f"no cluster for the pods: {error}: {remedy}") from None
        self.server = configuration.host
        if urlsplit(self.server).hostname in LOCAL:
            configuration.proxy = None
        # The first answer counts; the pods' operator is the one that waits.
        configuration.retries = 0
        self._client = kubernetes.client.ApiClient(configuration)
        self._core = kubernetes.client.CoreV1Api(self._client)

    def version(self) -> str:
        """The server's version."""
        with self._answered("the version"):
            return kubernetes.client.VersionApi(self._client).get_code(_request_timeout=TIMEOUT).git_version

    def has_namespace(self) -> bool:
        """Whether the namespace exists, as far as this account may know."""
        try:
            with self._answered("the namespace"):
                self._core.read_namespace(self.namespace, _request_timeout=TIMEOUT)
        except StackError as error:
            cause = error.__cause__
            return not (isinstance(cause, ApiException) and cause.status == 404)
        return True

    def forbidden(self) -> list[str]:
        """What this account may not do in the namespace, of what it must."""
        secrets = [("create", "secrets", ""), ("update", "secrets", "")]
        needed = [*NEEDED, *(secrets if self._keeps_secret else [])]
        return [f"{verb} {'/'.join(filter(None, what))}" for verb, *what in needed if not self._may(verb, *what)]

    def apply_secret(self) -> None:
        """Create or replace the Secret with those variables of commands that hold secrets, unless it is the user's."""
        if not self._keeps_secret:
            return
        given = common_environment(self._settings) | task_environment(self._settings)
        _, secrets = environment.variables(given, self._settings.config)
        name = self._settings.config["runner"]["kubernetes"]["secret"]
        labels, annotations = {"app": "mlops"}, {"mlops/var": str(self._settings.var)}
        metadata = k8s.V1ObjectMeta(name=name, labels=labels, annotations=annotations)
        body = k8s.V1Secret(metadata=metadata, string_data=secrets)
        with self._answered(f"the Secret {name}"):
            try:
                # Replaced, so that no variable of earlier settings stays.
                self._core.replace_namespaced_secret(name, self.namespace, body, _request_timeout=TIMEOUT)
            except ApiException as error:
                if error.status != 404:
                    raise
                self._core.create_namespaced_secret(self.namespace, body, _request_timeout=TIMEOUT)

    @property
    def _keeps_secret(self) -> bool:
        return self._settings.config["runner"]["kubernetes"]["secret"] == own_secret(self._settings.var)

    def _may(self, verb: str, resource: str, subresource: str) -> bool:
        attributes = k8s.V1ResourceAttributes(
            namespace=self.namespace, verb=verb, resource=resource, subresource=subresource
        )
        spec = k8s.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        api = kubernetes.client.AuthorizationV1Api(self._client)
        with self._answered("the permissions"):
            review = k8s.V1SelfSubjectAccessReview(spec=spec)
            answer = api.create_self_subject_access_review(review, _request_timeout=TIMEOUT)
        return bool(answer.status and answer.status.allowed)

    @contextmanager
    def _answered(self, what: str) -> Generator[None]:
        where = f"{self.server} (context {self.context})"
        try:
            yield
        except ApiException as error:
            reason = " ".join(str(error.body or error.reason).split())
            raise StackError(f"the cluster {where} refuses {what}: {error.status} {reason}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StackError(
                f"the cluster {where} does not answer: {_reason(error)}: start it, or set KUBECONFIG or"
                " runner.kubernetes.context to another"
            ) from error


def _reason(error: Exception) -> str:
    """The cause, without the objects and the URL in urllib3's messages."""
    return str(getattr(error, "reason", None) or error).rpartition(": ")[2]
