"""optimize: a worker runs its share of the trials of a snapshot's study."""

from typing import Any

from tagifai import findings, study
from tagifai.errors import TagifaiError
from tagifai.settings import Settings


def optimize(settings: Settings, *, uri: str, worker: int) -> dict[str, Any]:
    """Run the trials that a worker has not run yet, and write down what the study has found.

    Processes with different `worker` may run at once; a second one with the same waits for the first. After a crash
    the next call continues where the last one stopped, but not where `search.minutes` has stopped it, unless that is
    more now.

    Returns:
        `study`, its name; `trials` that are complete, of all workers; `run` by this call; `reused`, whether this call
        had no trial to run; `best_value`, the cross-validated weighted F1, and `best_params` so far; `notes`, as in
        Findings.

    Raises:
        TagifaiError: there is no such worker or snapshot, too few classes or rows, the database does not answer.
    """
    if worker not in range(settings.search.workers):
        raise TagifaiError(f"there is no worker {worker}: search.workers is {settings.search.workers}, the first is 0")
    name = study.name_of(settings, uri)
    with study.locked(settings, f"{name}/{worker}"):
        opened = study.open_study(settings, name)
        run = study.run_share(opened, settings, uri, worker=worker)
        # Of workers that end at the same time, the one that writes last has seen the trials of all.
        with study.locked(settings, name):
            found = study.findings_of(opened)
            findings.write(settings, name, found)
    best = {key: found[key] for key in ("trials", "best_value", "best_params", "notes")}
    return {"study": name, "run": run, "reused": run == 0, **best}
