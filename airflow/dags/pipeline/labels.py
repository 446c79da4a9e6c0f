"""The normal form of labels, as `tagifai.labels` has it: a test compares the two."""

import unicodedata

# As in dbt_transforms/macros/clean.sql: Unicode's white space, the zero-width space and the byte-order mark.
WHITE_SPACE = (
    "\t\n\u000b\u000c\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)


def normal_form(label: str) -> str:
    """The form in which all spellings of a label are equal: NFC, without white space at the ends, case folded."""
    stripped = unicodedata.normalize("NFC", label).strip(WHITE_SPACE)
    return unicodedata.normalize("NFC", stripped.casefold())
