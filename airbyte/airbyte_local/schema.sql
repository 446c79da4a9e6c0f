-- The service's own tables. Runs at every start, so each statement keeps what exists.

create schema if not exists airbyte;

create table if not exists airbyte.jobs (
    job_id bigint generated always as identity primary key,
    connection_id uuid not null,
    job_type text not null,
    status text not null check (status in ('running', 'incomplete', 'succeeded', 'failed', 'cancelled')),
    -- Marks the processes that the job's connector starts.
    run uuid not null,
    started_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- Totals of all attempts: rows committed in the destination, and bytes of the records that were read.
    rows_synced bigint not null default 0,
    bytes_synced bigint not null default 0,
    -- Values that did not fit their declared type and were loaded as null.
    values_nulled bigint not null default 0,
    failure_reason text,
    -- Airbyte's failure type; a config_error is not retried; null if unknown.
    failure_type text
);

create index if not exists jobs_by_connection on airbyte.jobs (connection_id, job_id);

create table if not exists airbyte.attempts (
    job_id bigint not null references airbyte.jobs on delete cascade,
    number integer not null,
    status text not null default 'running' check (status in ('running', 'succeeded', 'failed', 'cancelled')),
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    rows_synced bigint not null default 0,
    bytes_synced bigint not null default 0,
    values_nulled bigint not null default 0,
    failure_reason text,
    failure_type text,
    primary key (job_id, number)
);

-- Upgrades a table of an earlier version, which had no attempts.
alter table airbyte.jobs drop constraint if exists jobs_status_check;
alter table airbyte.jobs add constraint jobs_status_check
    check (status in ('running', 'incomplete', 'succeeded', 'failed', 'cancelled'));
drop index if exists airbyte.one_running_job;
-- And those without this count: times whose digits after the microseconds were cut.
alter table airbyte.jobs add column if not exists values_truncated bigint not null default 0;
alter table airbyte.attempts add column if not exists values_truncated bigint not null default 0;

create unique index if not exists one_active_job on airbyte.jobs (connection_id)
    where status in ('running', 'incomplete');

create table if not exists airbyte.workspaces (
    workspace_id uuid primary key default gen_random_uuid(),
    name text not null,
    created_at timestamptz not null default now()
);

-- Sources and destinations; Airbyte calls both actors.
create table if not exists airbyte.actors (
    actor_id uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references airbyte.workspaces,
    kind text not null check (kind in ('source', 'destination')),
    name text not null,
    -- The sourceType or destinationType.
    type text not null,
    -- Without secrets.
    configuration jsonb not null,
    -- With secrets, encrypted with a key that is not in the database.
    sealed bytea not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table if not exists airbyte.connections (
    connection_id uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references airbyte.workspaces,
    source_id uuid not null references airbyte.actors,
    destination_id uuid not null references airbyte.actors,
    name text not null,
    -- All other fields, as Airbyte's API names them.
    options jsonb not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- Upgrades jobs of an earlier version. No foreign key, since a job stays when its workspace is deleted.
alter table airbyte.jobs add column if not exists workspace_id uuid;
update airbyte.jobs set workspace_id = connections.workspace_id from airbyte.connections
    where jobs.workspace_id is null and connections.connection_id = jobs.connection_id;
