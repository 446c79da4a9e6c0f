"""SQL of the BigQuery destination. Arguments: names of tables are quoted already, names of columns are not."""

# ruff: noqa: S608
# Values are literals, since the emulator does not support parameters in scripts; names were checked before.

import uuid
from collections.abc import Mapping, Sequence

import orjson

from airbyte_local.destinations.bigquery_tables import POSITION
from airbyte_local.destinations.contract import DELETED, State, Table

# Error of a script whose attempt no longer owns the connection.
FENCED = "a later attempt of this connection has started"


def claim(states: str, connection_id: uuid.UUID, attempt: str) -> str:
    """Script that assigns a connection to an attempt, and then selects the connection's states."""
    null = "cast(null as STRING)"
    return f"""
        create table if not exists {states}
            (connection_id STRING, namespace STRING, stream STRING, message STRING, updated_at TIMESTAMP)
            as select {_literal(str(connection_id))}, {null}, {null}, "", current_timestamp();
        update {states} set message = {_literal(attempt)}, updated_at = current_timestamp() where stream is null;
        select namespace, stream, message from {states} where stream is not null
    """


def transaction(statements: Sequence[str]) -> str:
    """Script that runs all statements or none."""
    return ";\n".join(["begin transaction", *statements, "commit transaction"])


def fence(states: str, attempt: str) -> list[str]:
    """Statements that fail unless this attempt owns the connection until the end of the transaction."""
    own = f"stream is null and message = {_literal(attempt)}"
    return [
        f"update {states} set updated_at = current_timestamp() where {own}",
        f"if not exists (select 1 from {states} where {own}) then select error({_literal(FENCED)}); end if",
    ]


def keep(table: str, connection_id: uuid.UUID, states: Sequence[State]) -> list[str]:
    """Statements that store states; those without a message are deleted."""
    if not states:
        return []
    keys = [f"(namespace = {_literal(state.namespace)} and stream = {_literal(state.stream)})" for state in states]
    statements = [f"delete from {table} where {' or '.join(keys)}"]
    rows = [
        ", ".join(map(_literal, (str(connection_id), state.namespace, state.stream, state.message.decode())))
        for state in states
        if state.message is not None
    ]
    if rows:
        values = ", ".join(f"({row}, current_timestamp())" for row in rows)
        columns = "connection_id, namespace, stream, message, updated_at"
        statements.append(f"insert into {table} ({columns}) values {values}")
    return statements


def delete_all(table: str) -> str:
    """Statement that deletes all rows of a table."""
    return f"delete from {table} where true"


def insert(table: str, staging: str, values: Mapping[str, str]) -> str:
    """Statement that adds the staged rows; `values` has an expression for each column."""
    return f"insert into {table} ({_names(values)}) select {', '.join(values.values())} from {staging}"


def merge(target: str, staging: str, values: Mapping[str, str], table: Table, removed: Sequence[str]) -> str:
    """Statement that replaces each row by the latest staged row with the same key, unless the existing row is later.

    The cursor tells which row is later; for staged rows with the same cursor, their time and order of arrival do. The
    new rows do not have the columns in `removed`. A staged row with a value in DELETED only deletes.
    """
    key, cursor = table.key, table.cursor
    order = ("_airbyte_extracted_at", POSITION)
    latest, later = [f"`{name}` desc" for name in order], ""
    if cursor:
        latest.insert(0, f"`{cursor}` desc nulls last")
        later = f"and (target.`{cursor}` is null or source.`{cursor}` >= target.`{cursor}`)"
    converted = {name: f"`{name}`" for name in order} | dict(values)
    rows = ", ".join(f"{value} as `{name}`" for name, value in converted.items())
    updates = {name: f"source.`{name}`" for name in values} | dict.fromkeys(removed, "null")
    given = ", ".join(f"source.`{name}`" for name in values)
    delete = present = ""
    if table.deletes:
        delete = f"when matched {later} and source.{DELETED} is not null then delete"
        present = f"and source.{DELETED} is null"
    return f"""
        merge into {target} as target using (
            select * from (select {rows} from {staging}) where true
            qualify row_number() over (partition by {_names(key)} order by {", ".join(latest)}) = 1
        ) as source on {" and ".join(f"target.`{name}` = source.`{name}`" for name in key)}
        {delete}
        when matched {later} then update set {", ".join(f"`{name}` = {value}" for name, value in updates.items())}
        when not matched {present} then insert ({_names(values)}) values ({given})
    """


def add_columns(table: str, types: Mapping[str, str]) -> str:
    """Statement that adds columns to a table."""
    added = [f"add column if not exists `{name}` {kind}" for name, kind in types.items()]
    return f"alter table {table} {', '.join(added)}"


def widen(table: str, column: str, kind: str) -> str:
    """Statement that changes the type of a column."""
    return f"alter table {table} alter column `{column}` set data type {kind}"


def add_written(written: str, table: Table, columns: Sequence[str]) -> str:
    """Statement that records columns of a table as written by syncs."""
    rows = [", ".join(map(_literal, (table.namespace, table.name, column))) for column in columns]
    return f"insert into {written} (namespace, name, column_name) values {', '.join(f'({row})' for row in rows)}"


def remove_written(written: str, table: Table, columns: Sequence[str]) -> str:
    """Statement that removes columns, which are in lower case, from those that `add_written` recorded."""
    own = f"namespace = {_literal(table.namespace)} and name = {_literal(table.name)}"
    return f"delete from {written} where {own} and lower(column_name) in ({', '.join(map(_literal, columns))})"


def same_keys(table: str, key: Sequence[str]) -> str:
    """Query that finds a key that several rows have."""
    present = " and ".join(f"`{name}` is not null" for name in key)
    return f"select {_names(key)} from {table} where {present} group by {_names(key)} having count(*) > 1 limit 1"


def _names(names: Sequence[str] | Mapping[str, str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _literal(text: str) -> str:
    """Text as an SQL literal; BigQuery has the same escapes as JSON."""
    return orjson.dumps(text).decode()
