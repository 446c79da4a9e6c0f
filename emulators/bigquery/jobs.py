"""Jobs: each id once, with the settings and the location of its request kept, and failures that say why.

https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/insert
https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/query
"""

import uuid
from collections.abc import Callable
from typing import Annotated, Any

from bqemulator.api.dependencies import get_caller, get_context
from bqemulator.api.routes import jobs as pages
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import (
    AlreadyExistsError,
    DomainError,
    NotFoundError,
    UnsupportedFeatureError,
    ValidationError,
)
from bqemulator.jobs.executor import JOB_RESULTS, JOB_SCHEMAS
from fastapi import APIRouter, Depends, Request

from emulators.bigquery import copies, loads, queries
from emulators.bigquery.turns import in_thread

# Results are kept for pages that clients have not fetched; more than these bytes, and the oldest are forgotten.
_RESULTS_BYTES = 256 << 20
# The location is no part of bqemulator's jobs; it is kept in their configuration under this name.
_LOCATION = "emulatorLocation"
# Settings of `jobs.query` that belong to the job, not to its query.
_OF_JOB = ("labels", "dryRun", "jobTimeoutMs")

Context = Annotated[Any, Depends(get_context)]
Caller = Annotated[Any, Depends(get_caller)]
router = APIRouter(prefix="/bigquery/v2/projects/{project_id}")


@router.post("/jobs")
async def insert(project_id: str, request: Request, ctx: Context, caller: Caller) -> dict[str, Any]:
    """Run a job to its end."""
    body = await request.json()
    return await in_thread(lambda: response(run(ctx, project_id, body, caller=caller)))


@router.post("/queries")
async def query(project_id: str, request: Request, ctx: Context, caller: Caller) -> dict[str, Any]:
    """Run a query job to its end and answer with the first rows; a query that fails is an HTTP error."""
    body = await request.json()
    return await in_thread(lambda: _query(ctx, project_id, body, caller=caller))


@router.get("/queries/{job_id}")
async def results(
    project_id: str,
    job_id: str,
    ctx: Context,
    maxResults: int = 10000,  # noqa: N803
    startIndex: int = 0,  # noqa: N803
    pageToken: str | None = None,  # noqa: N803
) -> dict[str, Any]:
    """A page of a query's rows; the query's own error if it failed."""
    meta = ctx.catalog.get_job(project_id, job_id)
    if meta is None:
        raise NotFoundError(f"Not found: Job {project_id}:{job_id}")
    if meta.error_result:
        raise failure(meta.error_result)
    if job_id not in JOB_RESULTS:
        raise NotFoundError(
            f"Not found: the results of job {project_id}:{job_id}; this stand-in for BigQuery keeps them only for"
            " a while, and not when it ends: run the query again"
        )
    page = pages.get_query_results(project_id, job_id, ctx, maxResults, startIndex, pageToken)
    page["jobReference"] = _reference(meta)
    page["totalBytesProcessed"] = meta.statistics.get("totalBytesProcessed", "0")
    pages._attach_query_metadata(page, meta)
    return page


@router.get("/jobs/{job_id}")
async def get(project_id: str, job_id: str, ctx: Context) -> dict[str, Any]:
    """A job that has been run."""
    meta = ctx.catalog.get_job(project_id, job_id)
    if meta is None:
        raise NotFoundError(f"Not found: Job {project_id}:{job_id}")
    return response(meta)


def run(ctx: Any, project: str, body: dict[str, Any], *, caller: Any, files: list[str] | None = None) -> JobMeta:
    """Run a job to its end.

    Args:
        ctx: the emulator.
        project: the project that the request names.
        body: the Job resource of the request.
        caller: who runs it.
        files: paths of uploaded files, which take the place of a load job's `sourceUris`.

    Returns:
        The job, done; with `error_result` if it failed.

    Raises:
        DomainError: the request is refused and no job exists: the id was used before, no or another kind of job, a dry
            run of a statement that is wrong.
    """
    configuration = body.get("configuration") or {}
    reference = body.get("jobReference") or {}
    job_id = reference.get("jobId") or f"job_{uuid.uuid4().hex}"
    if ctx.catalog.get_job(project, job_id) is not None:
        raise AlreadyExistsError(f"Already Exists: Job {project}:{job_id}")
    location = reference.get("location") or _location(ctx, project, configuration)
    started = ctx.clock.now()
    error, statistics = None, {}
    kind, work = _work(ctx, project, job_id, configuration, caller=caller, files=files)
    if configuration.get("dryRun"):
        if kind != "query":
            raise ValidationError("Only query jobs can be run dry")
        statistics = queries.dry_run(ctx, project, job_id, configuration, caller=caller)
    else:
        try:
            statistics = work()
        except UnsupportedFeatureError:
            raise
        except DomainError as wrong:
            error = {"reason": wrong.bq_reason, "message": wrong.message, "location": wrong.location or "query"}
    meta = JobMeta(
        project_id=project,
        job_id=job_id,
        job_type=kind.upper(),  # pyrefly: ignore[bad-argument-type] - one of the four
        state="DONE",
        configuration={**configuration, "jobType": kind.upper(), _LOCATION: location},
        statistics=statistics,
        error_result=error,
        creation_time=started,
        start_time=started,
        end_time=ctx.clock.now(),
        etag=generate_etag(project, job_id, str(started)),
    )
    if not configuration.get("dryRun"):
        ctx.catalog.upsert_job(meta)
        _forget_old_results()
    return meta


def response(meta: JobMeta, *_: Any) -> dict[str, Any]:
    """The Job resource."""
    configuration = {key: value for key, value in meta.configuration.items() if key != _LOCATION}
    body = _response(meta.project_id, meta.job_id, meta, configuration)
    body["jobReference"] = _reference(meta)
    return body


def failure(error: dict[str, Any]) -> DomainError:
    """A job's error as the error of a request."""
    classes = {"notFound": NotFoundError, "duplicate": AlreadyExistsError}
    made = classes.get(error["reason"], ValidationError)(error["message"])
    if type(made) is ValidationError:
        made.bq_reason = error["reason"]  # pyrefly: ignore[read-only] - a class variable to bqemulator
    return made


def _work(
    ctx: Any, project: str, job_id: str, configuration: dict[str, Any], *, caller: Any, files: list[str] | None
) -> tuple[str, Callable[[], dict[str, Any]]]:
    """The job's kind, and what runs it and returns its statistics."""
    if "query" in configuration:
        return "query", lambda: queries.run(ctx, project, job_id, configuration, caller=caller)
    if "load" in configuration:
        return "load", lambda: loads.run(ctx, project, configuration["load"], files=files)
    if "copy" in configuration:
        return "copy", lambda: copies.run(ctx, project, configuration["copy"])
    if "extract" in configuration:
        raise UnsupportedFeatureError("This stand-in for BigQuery runs no extract jobs: read the table instead")
    raise ValidationError("Required parameter is missing: the configuration has none of query, load, copy, extract")


def _query(ctx: Any, project: str, body: dict[str, Any], *, caller: Any) -> dict[str, Any]:
    """Answer of `jobs.query`; a request with an id that was seen before is answered from its job."""
    query = {key: value for key, value in body.items() if key not in _OF_JOB}
    configuration = {key: body[key] for key in _OF_JOB if key in body} | {"query": query}
    reference = {"location": body.get("location")}
    meta = None
    if request_id := body.get("requestId"):
        reference["jobId"] = f"job_{request_id}"
        meta = ctx.catalog.get_job(project, reference["jobId"])
    if meta is None:
        meta = run(ctx, project, {"configuration": configuration, "jobReference": reference}, caller=caller)
    if meta.error_result:
        raise failure(meta.error_result)
    statistics = meta.statistics
    answer: dict[str, Any] = {
        "kind": "bigquery#queryResponse",
        "jobReference": _reference(meta),
        "jobComplete": True,
        "totalBytesProcessed": statistics["totalBytesProcessed"],
        "cacheHit": False,
    }
    if body.get("dryRun"):
        del answer["jobReference"]
        return answer | {"schema": statistics["query"].get("schema", {"fields": []}), "rows": [], "totalRows": "0"}
    answer["totalBytesBilled"] = statistics["query"]["totalBytesBilled"]
    if "sessionInfo" in statistics:
        answer["sessionInfo"] = statistics["sessionInfo"]
    page = pages.get_query_results(project, meta.job_id, ctx, int(body.get("maxResults") or 10000), 0, None)
    answer |= {key: page[key] for key in ("schema", "rows", "totalRows", "pageToken") if key in page}
    pages._attach_query_metadata(answer, meta)
    return answer


def _reference(meta: JobMeta) -> dict[str, str]:
    location = meta.configuration.get(_LOCATION, "US")
    return {"projectId": meta.project_id, "jobId": meta.job_id, "location": location}


def _location(ctx: Any, project: str, configuration: dict[str, Any]) -> str:
    """Where the job's destination is, if it names one: BigQuery runs a job where its data are."""
    for kind in ("query", "load", "copy"):
        settings = configuration.get(kind) or {}
        for key in ("destinationTable", "defaultDataset"):
            if (reference := settings.get(key)) and (
                dataset := ctx.catalog.get_dataset(reference.get("projectId") or project, reference["datasetId"])
            ):
                return dataset.location
    return "US"


def _forget_old_results() -> None:
    total = sum(table.nbytes for table in JOB_RESULTS.values())
    while total > _RESULTS_BYTES and len(JOB_RESULTS) > 1:
        oldest = next(iter(JOB_RESULTS))
        total -= JOB_RESULTS.pop(oldest).nbytes
        JOB_SCHEMAS.pop(oldest, None)


_response = pages._build_job_response
