"""Transactions of scripts are transactions of the database: undone by ROLLBACK, by an error, at the end, and by a kill.

https://cloud.google.com/bigquery/docs/transactions
https://cloud.google.com/bigquery/docs/reference/standard-sql/procedural-language
"""

import re
from typing import Any

import sqlglot
from bqemulator.domain.errors import InvalidQueryError
from bqemulator.scripting.exceptions import ScriptRaise
from bqemulator.scripting.interpreter import ScriptInterpreter, ScriptResult, _classify_txn_statement
from sqlglot import exp

from emulators.bigquery.engine import atomic

# A text in quotes, which stays, or the name of the error's message.
_ERROR_MESSAGE = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|@@error\.message""", re.IGNORECASE | re.DOTALL)


async def _control(self: ScriptInterpreter, op: str) -> None:
    """BEGIN, COMMIT or ROLLBACK; bqemulator would copy tables and copy them back."""
    engine = self._ctx.engine
    if op == "BEGIN":
        if self._active_txn is not None:
            raise InvalidQueryError("Transaction is already in progress: BigQuery has no nested transactions")
        engine.execute("begin transaction")
        self._active_txn = {}
    elif self._active_txn is None:
        raise InvalidQueryError(f"There is no active transaction to {op.lower()}")
    else:
        self._active_txn = None
        engine.execute(op)


async def _undo(self: ScriptInterpreter) -> None:
    """End a transaction that the script has left open."""
    if self._active_txn is not None:
        self._active_txn = None
        self._ctx.engine.execute("rollback")


async def _no_copies(self: ScriptInterpreter, sql: str) -> None:
    """Before a change nothing is copied."""


async def _no_drops(self: ScriptInterpreter) -> None:
    """When an exception handler begins, nothing is forgotten."""


def _refuse_in_transaction(sql: str) -> None:
    """Raise InvalidQueryError for a statement that BigQuery refuses inside of a transaction."""
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return
    if not isinstance(tree, exp.Create | exp.Drop | exp.Alter):
        return
    temporary = tree.find(exp.TemporaryProperty) is not None or bool(tree.args.get("temporary"))
    if not temporary and not (isinstance(tree, exp.Drop) and not tree.this.args.get("db")):
        raise InvalidQueryError("DDL statements of permanent tables are not supported inside of a transaction")


def install() -> None:
    """Correct the interpreter of scripts."""
    run, statement, query = ScriptInterpreter.run, ScriptInterpreter._exec_sql, ScriptInterpreter._run_query

    async def run_to_end(self: ScriptInterpreter, source: str) -> ScriptResult:
        try:
            return await run(self, source)
        except ScriptRaise as raised:
            raise InvalidQueryError(raised.message) from raised
        finally:
            # BigQuery undoes what a script does not commit.
            await _undo(self)

    async def run_statement(self: ScriptInterpreter, sql: str) -> None:
        if _classify_txn_statement(sql):
            await statement(self, sql)
        elif self._active_txn is not None:
            _refuse_in_transaction(sql)
            await statement(self, sql)
        else:
            with atomic(self._ctx):
                await statement(self, sql)

    async def run_query(self: ScriptInterpreter, bq_sql: str) -> Any:
        visible = self._frames.all_visible()
        message = visible["__error_message__"].value if "__error_message__" in visible else None
        text = exp.Literal.string(str(message)).sql("bigquery") if message is not None else "null"
        return await query(self, _ERROR_MESSAGE.sub(lambda found: found[1] or text, bq_sql))

    ScriptInterpreter.run = run_to_end
    ScriptInterpreter._exec_sql = run_statement
    ScriptInterpreter._run_query = run_query
    ScriptInterpreter._handle_txn_statement = _control
    ScriptInterpreter._snapshot_dml_targets = _no_copies
    ScriptInterpreter._drop_txn_snapshots = _no_drops
    ScriptInterpreter._restore_txn_snapshots = _undo
