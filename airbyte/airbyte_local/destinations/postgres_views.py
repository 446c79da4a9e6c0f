"""Sets aside the views that read a column whose type changes: PostgreSQL refuses to change the type under a view."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from airbyte_local.destinations.contract import DestinationError, Table

# Views that read the columns, and views on these; each after all those that it reads.
_READERS = """
    with recursive links as (
        select depended.refobjid as source, depended.refobjsubid as number, rule.ev_class as view
            from pg_depend depended
            join pg_rewrite rule on rule.oid = depended.objid
            join pg_class reader on reader.oid = rule.ev_class and reader.relkind = 'v'
            where depended.classid = 'pg_rewrite'::regclass and depended.refclassid = 'pg_class'::regclass
                and depended.refobjid <> rule.ev_class
    ), readers as (
        select view, 1 as depth from links join pg_attribute on attrelid = source and attnum = number
            where source = %s::regclass and attname = any(%s)
        union
        select links.view, depth + 1 from readers join links on source = readers.view
            -- Rules can make views read each other.
            where depth < (select count(distinct view) from links)
    )
    select view from readers group by view order by max(depth)
"""
# All that belongs to a view, besides the types of its columns.
_PARTS = """
    select jsonb_build_object(
        'name', format('%%I.%%I', nspname, relname),
        'query', pg_get_viewdef(view.oid),
        'owner', quote_ident(pg_get_userbyid(relowner)),
        'options', coalesce(array_to_string(reloptions, ', '), ''),
        'comment', obj_description(view.oid, 'pg_class'),
        'labels', (select jsonb_agg(label) from pg_seclabels where objoid = view.oid),
        'columns', (
            select jsonb_agg(jsonb_build_object(
                    'name', quote_ident(attname),
                    'comment', col_description(attrelid, attnum),
                    'default', (
                        select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = attrelid and adnum = attnum)
                ) order by attnum)
            from pg_attribute where attrelid = view.oid and attnum > 0 and not attisdropped),
        'grants', (
            select coalesce(jsonb_agg(jsonb_build_array(
                    privilege_type || coalesce(' (' || quote_ident(attname) || ')', ''),
                    case when grantee = 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
                    case when is_grantable then ' with grant option' else '' end
                ) order by attname, privilege_type, grantee), '[]')
            from (
                select null as attname, coalesce(relacl, acldefault('r', relowner)) as acl
                union all select attname, attacl from pg_attribute where attrelid = view.oid and attacl is not null
            ) held, aclexplode(acl)),
        'others', (
            select coalesce(jsonb_agg(definition order by definition), '[]') from (
                select pg_get_triggerdef(oid) from pg_trigger where tgrelid = view.oid and not tgisinternal
                union all select pg_get_ruledef(oid) from pg_rewrite where ev_class = view.oid and rulename <> '_RETURN'
            ) each (definition)),
        'comments of triggers and rules', (
            select jsonb_agg(description order by description) from pg_description where (classoid, objoid) in (
                select 'pg_trigger'::regclass, oid from pg_trigger where tgrelid = view.oid
                union all select 'pg_rewrite'::regclass, oid from pg_rewrite where ev_class = view.oid))
    )
    from pg_class view join pg_namespace space on space.oid = relnamespace where view.oid = %s::regclass
"""

_REMEDY = "drop it, sync, and create it again, or declare json_schema in the source's configuration"


@contextmanager
def set_aside(connection: psycopg.Connection, table: Table, columns: Collection[str]) -> Iterator[None]:
    """Drop the views that read these columns, and then make them again, in the transaction that is open.

    Raises:
        DestinationError: something that depends on a column cannot be made again, or not with all that belonged to it.
    """
    what, which = f"the type of {', '.join(columns)} in table {table} has to change, but", ""
    name = sql.Identifier(table.namespace, table.name).as_string(connection)
    try:
        found = connection.execute(_READERS, [name, list(columns)]).fetchall()
        views = [_parts(connection, view) for (view,) in found]
        for view in reversed(views):
            _run(connection, "drop view {name}", **view)
        yield
        for view in views:
            which = f" view {view['name']} cannot be made again:"
            _make(connection, view)
            now = _parts(connection, view["name"])
            if lost := [part for part in view if part != "query" and now[part] != view[part]]:
                raise DestinationError(f"{what}{which} its {', '.join(lost)} would be lost; {_REMEDY}")
    except psycopg.OperationalError:
        raise  # the same may succeed later
    except psycopg.DatabaseError as error:
        reason = ". ".join(filter(None, (error.diag.message_primary, error.diag.message_detail)))
        raise DestinationError(f"{what}{which} {reason}; {_REMEDY}") from None


def _parts(connection: psycopg.Connection, view: int | str) -> dict[str, Any]:
    row = connection.execute(_PARTS, [view]).fetchone()
    assert row
    return row[0]


def _make(connection: psycopg.Connection, view: dict[str, Any]) -> None:
    options = f" with ({view['options']})" if view["options"] else ""
    _run(connection, f"create view {{name}}{options} as {{query}}", **view)
    _run(connection, "alter view {name} owner to {owner}", **view)
    for column in view["columns"]:
        if column["default"]:
            _run(connection, "alter view {0} alter column {name} set default {default}", view["name"], **column)
        _comment(connection, f"column {view['name']}.{column['name']}", column["comment"])
    _comment(connection, f"view {view['name']}", view["comment"])
    for statement in view["others"]:
        _run(connection, "{0}", statement)
    # A new view may have grants by default.
    for grantee in {grantee for _, grantee, _ in _parts(connection, view["name"])["grants"]}:
        _run(connection, "revoke all on {name} from {0}", grantee, **view)
    for privilege, grantee, option in view["grants"]:
        _run(connection, "grant {0} on {name} to {1}{2}", privilege, grantee, option, **view)


def _comment(connection: psycopg.Connection, target: str, comment: str | None) -> None:
    if comment:
        connection.execute(sql.SQL("comment on {} is {}").format(_as_is(target), sql.Literal(comment)))


def _run(connection: psycopg.Connection, statement: str, *values: str, **parts: Any) -> None:
    """Run a statement with parts that PostgreSQL has quoted."""
    connection.execute(_as_is(statement.format(*values, **parts)))


def _as_is(text: str) -> sql.SQL:
    return sql.SQL(text)  # pyrefly: ignore[bad-argument-type] - PostgreSQL itself wrote its parts
