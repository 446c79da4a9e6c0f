"""Where the commands of tasks run: the settings `runner` choose it, for all tasks and for single ones."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk.definitions.mappedoperator import MappedOperator

    from pipeline.runners.operator import CommandOperator

# The operator of each type. A module is imported only if the settings name it, and the libraries of Docker, Kubernetes
# and Google only when a task runs: they take seconds, and DAG files are parsed all the time.
OPERATORS = {
    "venv": "pipeline.runners.venv:VenvCommandOperator",
    "docker": "pipeline.runners.container:ContainerCommandOperator",
    "kubernetes": "pipeline.runners.pod:PodCommandOperator",
    "gke": "pipeline.runners.pod:PodCommandOperator",
}


def task(environment: str, command: list[str], task_id: str, **kwargs: Any) -> "CommandOperator":
    """The operator that runs a command in one of the locked environments.

    Args:
        environment: the environment's name.
        command: a program of it with its arguments, which are templates; it writes a JSON object to `--result PATH`.
        task_id: also selects the overrides in `runner.tasks`.
        **kwargs: arguments of every operator, such as `outlets`.
    """
    return _operator(task_id)(task_id=task_id, environment=environment, command=command, **kwargs)


def mapped(environment: str, commands: list[list[str]], task_id: str) -> "MappedOperator":
    """Parallel tasks, one for each of `commands`."""
    return _operator(task_id).partial(task_id=task_id, environment=environment).expand(command=commands)


def _operator(task_id: str) -> type["CommandOperator"]:
    module, _, name = OPERATORS[Settings().runner.of(task_id).type].partition(":")
    return getattr(import_module(module), name)
