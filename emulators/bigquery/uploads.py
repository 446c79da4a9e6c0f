"""Load jobs whose file comes with the request, of one part or of many."""

from typing import Any

from bqemulator.api.routes import upload
from bqemulator.catalog.models import JobMeta
from bqemulator.row_access.identity import resolve_caller_from_headers

from emulators.bigquery import jobs
from emulators.bigquery.turns import in_thread

# Where the id of the job waits in its configuration until the last part of the file is here.
_REFERENCE = "emulatorReference"


def install() -> None:
    """Run uploaded loads as all other jobs; bqemulator drops their ids, so a job could run twice."""
    # google-cloud-bigquery uploads files as this.
    # pyrefly: ignore[bad-assignment] - a tuple of any length
    upload._PERMITTED_MEDIA_CONTENT_TYPES += ("*/*",)
    read = upload._load_configuration_from_envelope

    def configuration_of(envelope: dict[str, Any]) -> dict[str, Any]:
        return {**read(envelope), _REFERENCE: envelope.get("jobReference") or {}}

    async def run_load(
        *, project_id: str, configuration: dict[str, Any], media_path: str, ctx: Any
    ) -> tuple[str, JobMeta]:
        reference = configuration.pop(_REFERENCE)
        body = {"configuration": configuration, "jobReference": reference}
        nobody = resolve_caller_from_headers({})
        meta = await in_thread(lambda: jobs.run(ctx, project_id, body, caller=nobody, files=[media_path]))
        return meta.job_id, meta

    def response(project_id: str, job_id: str, job_meta: JobMeta, configuration: dict[str, Any]) -> dict[str, Any]:
        return jobs.response(job_meta)

    upload._load_configuration_from_envelope = configuration_of
    upload._run_load = run_load
    upload._build_job_response = response
