"""Commands in containers: how they end, and what becomes of a container whose task is killed."""

import os
import signal
import time

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from cluster_testing import TASKS, unable
from pod_testing import GO, WAITS_FOR_GO, Case

from pipeline.settings import Runner

docker = pytest.importorskip("docker")
RETRY, NEVER = AirflowException, AirflowFailException
FILLS_MEMORY = "x = bytearray(300 << 20)"
CHILD = f"subprocess.run([sys.executable, '-c', '{FILLS_MEMORY}'])"
ABSENT = "127.0.0.1:9/absent:latest"


@pytest.fixture(scope="module")
def engine():
    """The Docker engine, which has the image of the tasks."""
    try:
        client = docker.from_env()
        client.images.get(TASKS)
    except docker.errors.DockerException as error:
        unable(f"no Docker engine with the image {TASKS}: {error}")
    return client


@pytest.fixture
def settings(engine):
    """Function that gives the settings of a runner."""
    return lambda **given: Runner.model_validate({"type": "docker", "image": TASKS, "start_timeout": 60} | given)


def containers(engine, case):
    """The containers of a case."""
    return engine.containers.list(all=True, ignore_removed=True, filters={"label": f"mlops.task_id={case.task_id}"})


def ready(engine, case):
    """Wait until the command of a case has said so, and return its container."""
    return until(lambda: next((each for each in containers(engine, case) if b"ready" in each.logs()), None))


def until(condition, seconds=300):
    """Wait until a condition is true, and return its answer."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"a condition is still not true after {seconds} s"
        time.sleep(0.1)
    return answer


def test_a_command_returns_its_result_and_its_log_and_leaves_nothing(engine, settings):
    volumes = {each.name for each in engine.volumes.list()}
    body = "print('one'); print('two', end=''); succeed(rows=3, user=os.getuid(), report={'rows_out': 3})"
    case = Case(settings(memory="512Mi", cpu="1"), body).start().ended()
    assert case.result == {"rows": 3, "user": 10001}, case.error
    assert case.xcoms == {"report": {"rows_out": 3}}
    assert case.log[-2:] == ["one", "two"]
    assert containers(engine, case) == []
    assert {each.name for each in engine.volumes.list()} <= volumes


@pytest.mark.parametrize(
    ("body", "given", "options", "kind", "parts"),
    [
        ("succeed(); print('last words'); sys.exit(3)", {}, {}, RETRY, ["ended with 3", "last words"]),
        ("pass", {}, {}, RETRY, ["wrote no result"]),
        ("succeed(error='row 7: no title'); sys.exit(1)", {}, {}, NEVER, ["row 7: no title"]),
        ("succeed(error='MLflow is away'); sys.exit(75)", {}, {}, RETRY, ["MLflow is away"]),
        (FILLS_MEMORY, {"memory": "64Mi"}, {}, RETRY, ["137", "64Mi", "raise runner.tasks."]),
        (CHILD, {"memory": "64Mi"}, {}, RETRY, ["137", "64Mi", "raise runner.tasks."]),
        ("", {}, {"program": "no-such"}, NEVER, ["127", "no-such"]),
        ("wait()", {}, {"limit": 4}, RETRY, ["Timeout", "execution_timeout"]),
        ("", {"docker": {"network": "no-such-network"}}, {}, NEVER, ["no-such-network"]),
        ("", {"image": ABSENT, "start_timeout": 3}, {}, RETRY, ["absent", "refused", "start_timeout"]),
    ],
)
def test_a_container_that_did_not_do_its_work_is_a_failure_with_its_reason(
    engine, settings, body, given, options, kind, parts
):
    case = Case(settings(**given), body, **options).start().ended()
    assert type(case.error) is kind, (case.error, case.recorder.text)
    assert not [part for part in parts if part not in str(case.error)], str(case.error)
    assert containers(engine, case) == []


def test_an_engine_that_does_not_answer_is_waited_for(settings, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    case = Case(settings(start_timeout=4), "").start().ended()
    assert type(case.error) is RETRY
    assert "Docker does not answer" in str(case.error)


@pytest.mark.slow
@pytest.mark.parametrize("is_done", [False, True])
def test_the_container_of_a_killed_worker_is_taken_up(engine, settings, is_done):
    """Whether it has ended meanwhile, or not."""
    other = Case(settings(), f"{WAITS_FOR_GO}; succeed(host=os.environ['HOSTNAME'])", attempt=2)
    worker = other.worker(settings())
    left = ready(engine, other)
    # It is stopped first, so that it cannot see the end of its container.
    os.kill(worker.pid, signal.SIGSTOP)
    if is_done:
        left.exec_run(GO)
        left.wait()
    worker.kill()
    worker.wait()
    other.start()
    if not is_done:
        until(lambda: "has not ended" in other.recorder.text)
        left.exec_run(GO)
    assert other.ended().result == {"host": left.id[:12]}, (other.error, other.recorder.text)
    assert f"Taking up the container {left.short_id}" in other.recorder.text
    assert containers(engine, other) == []


def test_a_killed_task_stops_its_container(engine, settings):
    case = Case(settings(), "print('ready', flush=True); wait()").start()
    ready(engine, case)
    case.task.on_kill()
    assert type(case.ended().error) is RETRY
    assert containers(engine, case) == []
