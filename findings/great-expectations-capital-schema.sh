#!/usr/bin/env bash
# great-expectations 1.19.1 cannot check a table whose schema has a capital letter in its name. A table asset writes the
# name of its schema in small letters, which is another schema (in BigQuery: another dataset) where names are
# case-sensitive. In quotes the name is kept, but then the schema is "not there": the names that the database lists are
# written in small letters before they are compared. So give schemas names in small letters.
# Output seen:
#   asked for Ada_marts.projects, the asset reads ada_marts.projects
#   asked for "Ada_marts": the schema "Ada_marts" does not exist
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check great-expectations==1.19.1 sqlalchemy==2.0.51 pandas==2.3.3

GX_ANALYTICS_ENABLED=false env/bin/python -W ignore - <<'PYTHON'
import great_expectations as gx
import sqlalchemy
from great_expectations.datasource.fluent import SqliteDatasource, TestConnectionError
from sqlalchemy.pool import StaticPool

# A database in memory with a schema of that name.
engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool)
with engine.begin() as connection:
    connection.exec_driver_sql("attach ':memory:' as \"Ada_marts\"")
    connection.exec_driver_sql('create table "Ada_marts".projects (id integer)')
SqliteDatasource.get_engine = lambda self: engine

source = gx.get_context(mode="ephemeral").data_sources.add_sqlite("warehouse", connection_string="sqlite://")
asset = source.add_table_asset("plain", table_name="projects", schema_name="Ada_marts")
print("asked for Ada_marts.projects, the asset reads", asset.qualified_name)
assert asset.qualified_name == "ada_marts.projects"
try:
    source.add_table_asset("quoted", table_name="projects", schema_name='"Ada_marts"')
    raise SystemExit("the quoted name was found")
except TestConnectionError as error:
    message = str(error.__cause__ or error)
    print('asked for "Ada_marts": the schema', message.partition("the schema ")[2].replace('""', '"').rstrip("."))
    assert "does not exist" in message
PYTHON
