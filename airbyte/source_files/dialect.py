"""The dialect of a CSV file: for Python's csv module, for Arrow, as a regular expression, and in messages."""

import csv
import re
from typing import Any

import pyarrow.csv as pacsv

from source_files.config import Csv

_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", '"': "double quote", "'": "single quote"}


def python(csv_options: Csv) -> dict[str, Any]:
    """Arguments of Python's csv.reader."""
    return {
        "delimiter": csv_options.delimiter,
        "quotechar": csv_options.quote,
        "escapechar": csv_options.escape,
        "quoting": csv.QUOTE_MINIMAL if csv_options.quote else csv.QUOTE_NONE,
    }


def arrow(csv_options: Csv) -> pacsv.ParseOptions:
    """Options of Arrow's parser."""
    return pacsv.ParseOptions(
        delimiter=csv_options.delimiter,
        quote_char=csv_options.quote or False,
        escape_char=csv_options.escape or False,
        newlines_in_values=True,
    )


def special(csv_options: Csv) -> re.Pattern[bytes] | None:
    """Pattern of the parts of rows in which a line break is no end of a row; None if there are none.

    As in Arrow, a quoted value starts with a quote and ends at the next quote that is neither doubled nor escaped. The
    named group that matched tells what is special about a part: it is a `comment`, has an `open` quote, a closing quote
    with a `stray` character behind it, or is `cut` behind an escape.
    """
    delimiter, quote, escape = (
        re.escape((character or "").encode())
        for character in (csv_options.delimiter, csv_options.quote, csv_options.escape)
    )
    parts = []
    if csv_options.comment:
        comment = re.escape(csv_options.comment.encode())
        parts.append(rb"(?P<comment>%(c)b(?<![^\r\n]%(c)b)[^\r\n]*+)" % {b"c": comment})
    if escape:
        # Up to the end of the value, which is not quoted.
        parts.append(rb"%(e)b(?:[\s\S]|(?P<cut>\Z))[^%(e)b%(d)b\r\n]*+" % {b"e": escape, b"d": delimiter})
    if quote:
        # Neighbouring quoted values are one part, which is faster.
        literal = rb"%(q)b(?:%(q)b|%(d)b%(q)b)" + (rb"|%(e)b[\s\S]" if escape else b"")
        parts.append(
            (
                rb"%(q)b(?<![^%(d)b\r\n]%(q)b)[^%(q)b%(e)b]*+(?:(?:" + literal + rb")[^%(q)b%(e)b]*+)*+"
                rb"(?:%(q)b(?:(?=[%(d)b\r\n])|\Z|(?P<stray>))|(?P<open>))"
            )
            % {b"q": quote, b"d": delimiter, b"e": escape}
        )
    return re.compile(b"|".join(parts)) if parts else None


def name(character: str) -> str:
    """A character's name for messages."""
    return _NAMES.get(character, repr(character))
