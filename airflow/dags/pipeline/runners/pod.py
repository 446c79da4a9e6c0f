"""Commands in pods. The provider's libraries take seconds to import, so that happens when a task runs."""

from typing import TYPE_CHECKING, Any

from pipeline.runners.operator import CommandOperator

if TYPE_CHECKING:
    from kubernetes.client import V1Pod

    from pipeline.runners.pods.operators import PodOperator


class PodCommandOperator(CommandOperator):
    """Run a command in a pod of its own, by the provider's operator: KubernetesPodOperator or GKEStartPodOperator.

    This class stands for that operator in the DAG file; when the task runs, it makes the operator and delegates.
    """

    _made: "PodOperator | None" = None

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the pod, or take up the one that an earlier try has left."""
        operator = self.provider_operator()
        return operator.execute_async(context) if operator.deferrable else operator.execute_sync(context)

    def trigger_reentry(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Continue after the trigger."""
        return self.provider_operator().trigger_reentry(context, event)

    def on_kill(self) -> None:
        """Delete the pod."""
        if self._made:
            self._made.on_kill()

    def pod(self) -> "V1Pod":
        """The pod as it would be requested, without the labels of a run; no cluster is needed."""
        return self.provider_operator().offline_pod()

    def provider_operator(self) -> "PodOperator":
        """The provider's operator, hardened, with this task's settings."""
        from pipeline.runners.pods.operators import make

        self._made = make(self)
        return self._made
