"""Google's analyser refuses what BigQuery refuses, and its known false alarms are still alarms."""

import json

import pytest
import sql_analysis

TABLES = {
    "data.projects": [
        {"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
        {"name": "title", "type": "STRING"},
        {"name": "score", "type": "BIGNUMERIC"},
        {"name": "made", "type": "TIMESTAMP"},
        {"name": "about", "type": "JSON"},
        {"name": "words", "type": "STRING", "mode": "REPEATED"},
        {"name": "place", "type": "RECORD", "fields": [{"name": "city", "type": "STRING"}]},
    ]
}
PARAMETERS = [
    {"name": "least", "parameterType": {"type": "INT64"}},
    {"name": "titles", "parameterType": {"type": "ARRAY", "arrayType": {"type": "STRING"}}},
]
# By the reason that the analyser gives.
REFUSED = {
    "select id::text from data.projects": 'Expected end of input but got ":"',
    "select id from data.projects where title ilike 'a%'": "Syntax error",
    "select distinct on (title) id from data.projects": "Syntax error",
    "delete from data.projects": "DELETE must have a WHERE clause",
    "select id from data.projects where title = 1": "No matching signature for operator =",
    "select id from data.projects union all select title from data.projects": "incompatible types: INT64, STRING",
    "select now()": "Function not found: now",
    "select nothing from data.projects": "Unrecognized name: nothing",
    "select id from data.missing": "Table not found: data.missing",
    "select cast(id as text) from data.projects": "Type not found: text",
    "insert into data.projects (id) values ('a')": "STRING which cannot be inserted into column id",
    "begin transaction; update data.projects set missing = 1 where true; commit transaction": "Unrecognized name",
    "if exists (select 1 from data.missing) then select 1; end if": "Table not found: data.missing",
    "if true then select 1; else select missing from data.projects; end if": "Unrecognized name: missing",
    "create table data.new (a text)": "Type not found: text",
}
ACCEPTED = [
    "select city, word from `a-project`.data.projects, unnest(words) as word, unnest([place])",
    "select * from `a-project.data.projects` where id > @least and title in unnest(@titles)",
    "select title from projects qualify row_number() over (partition by title order by made desc) = 1",
    "create table data.new partition by date_trunc(day, month) cluster by id options (labels = [('a', 'b')]) as"
    " select id, date(made) as day from data.projects; update data.new set id = 1 where day is null",
    "create or replace table `a-project`.`data`.`new` copy `a-project`.`data`.`projects`",
    "create or replace table data.new clone data.projects",
    "create schema if not exists `a-project`.`more` options (location = 'EU')",
    "alter table data.projects alter column id set data type bignumeric",
    "alter table data.projects add column if not exists `more` string",
    "alter table data.projects drop column title; alter table data.projects add column title int64;"
    " select title + 1 from data.projects",
    "begin transaction; delete from data.projects where title = 'é'; insert into data.projects (id) values (1);"
    " commit transaction",
    "merge into data.projects as target using (select 1 as id) as source on target.id = source.id"
    " when matched then update set title = 'ü' when not matched then insert (id) values (id)",
]


def query(sql, tables=TABLES):
    return {
        "sql": sql,
        "project": "a-project",
        "dataset": "data",
        "parameters": PARAMETERS,
        "tables": tables,
        "error": None,
    }


@pytest.fixture(scope="module")
def answers():
    """The analyser's errors about the statements above and the examples of false alarms, by statement."""
    alarms = [query(each["example"], each["tables"]) for each in sql_analysis.false_alarms()]
    found = sql_analysis.analyse([*map(query, (*REFUSED, *ACCEPTED)), *alarms])
    return {each.sql: each.message for each in found}


@pytest.mark.parametrize("sql", REFUSED)
def test_sql_of_postgresql_and_wrong_sql_is_refused(answers, sql):
    assert REFUSED[sql] in answers[sql]


@pytest.mark.parametrize("sql", ACCEPTED)
def test_sql_of_bigquery_is_accepted(answers, sql):
    assert sql not in answers


def test_every_known_false_alarm_is_still_one(answers):
    examples = {each["example"]: each for each in sql_analysis.false_alarms()}
    found = [sql_analysis.Refused(sql, answers.get(sql, "")) for sql in examples]
    assert [each for each in found if not sql_analysis.is_explained(each, examples[each.sql])] == []


def test_of_what_was_received_each_shape_is_analysed_once_and_what_failed_is_not(tmp_path):
    file = tmp_path / "statements.jsonl"
    received = [query(f"select missing from data.projects where title = '{number}'") for number in range(3)]
    received += [query("select 1"), query("select x") | {"error": "Unrecognized name: x"}]
    file.write_text("".join(json.dumps(each) + "\n" for each in received))
    (found,) = sql_analysis.refused(file)
    assert str(found).startswith("[INVALID_ARGUMENT] Unrecognized name: missing")
    assert str(found).endswith("title = '0'")
