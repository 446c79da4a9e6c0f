"""What the cluster of tests offers: pods, their logs and ends, images by digest, and ways to break it."""

FILL_MEMORY = "x = bytearray(200 << 20)"
WAITS_TO_BE_TOLD = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("told")))
print("ready", flush=True)
signal.pause()
"""
# The shell does not notice that its child was killed, and ends well.
LOSES_A_CHILD = f"/usr/local/bin/python3 -c '{FILL_MEMORY}'; true"


def test_a_pod_runs_as_the_images_user_and_its_log_can_be_read(cluster, tasks_image):
    pod = cluster.pod(tasks_image, "sh", "-c", "id -u; pwd; pgrep -f sh >/dev/null && echo found")
    assert cluster.ended(pod)["exitCode"] == 0
    assert cluster.kubectl("logs", pod).split() == ["10001", "/opt/mlops", "found"]


def test_an_image_is_run_by_its_digest(cluster, tasks_image):
    pod = cluster.pod(tasks_image, "true")
    assert cluster.ended(pod)["reason"] == "Completed"
    status = cluster.get("pod", pod)["status"]["containerStatuses"][0]
    assert status["imageID"].endswith(tasks_image.partition("@")[2])


def test_a_pod_over_its_memory_limit_is_killed(cluster, tasks_image):
    pod = cluster.pod(tasks_image, "/usr/local/bin/python3", "-c", FILL_MEMORY, memory="50Mi")
    end = cluster.ended(pod)
    assert (end["exitCode"], end["reason"]) == (137, "OOMKilled")


def test_without_our_script_a_killed_child_goes_unnoticed_and_with_it_the_pod_fails(cluster, tasks_image):
    command = ["sh", "-c", LOSES_A_CHILD]
    pods = [cluster.pod(tasks_image, *words, memory="50Mi") for words in (command, ["task", *command])]
    bare, ours = [cluster.ended(pod) for pod in pods]
    assert bare["exitCode"] == 0
    assert ours["exitCode"] == 137
    assert "a process was killed because the container exceeded its memory limit" in ours["message"]


def test_a_signal_to_the_first_process_reaches_the_command(cluster, tasks_image):
    pod = cluster.pod(tasks_image, "task", "/usr/local/bin/python3", "-c", WAITS_TO_BE_TOLD)
    cluster.until(lambda: "ready" in cluster.kubectl("logs", pod, check=False))
    cluster.kubectl("exec", pod, "--", "sh", "-c", "kill -TERM 1")
    assert cluster.ended(pod)["exitCode"] == 0
    assert "told" in cluster.kubectl("logs", pod)


def test_a_running_pod_outlives_the_api_server_and_the_kubelet(cluster, tasks_image):
    pod = cluster.pod(tasks_image, "sh", "-c", "until [ -e /tmp/end ]; do sleep 0.1; done; echo ended")
    cluster.until(lambda: cluster.get("pod", pod)["status"]["phase"] == "Running")
    for program in ("kube-apiserver", "kubelet"):
        with cluster.without(program):
            pass
    cluster.until(lambda: cluster.kubectl("exec", pod, "--", "sh", "-c", "touch /tmp/end && echo done", check=False))
    assert cluster.ended(pod)["exitCode"] == 0


def test_a_pod_that_fits_on_no_node_waits_with_the_reason(cluster, tasks_image):
    pod = cluster.pod(tasks_image, "true", nodeSelector={"no": "such-node"})

    def reason():
        conditions = cluster.get("pod", pod)["status"].get("conditions", [])
        return next((each.get("message") for each in conditions if each["type"] == "PodScheduled"), None)

    assert "didn't match" in cluster.until(reason)
