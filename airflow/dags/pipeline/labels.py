"""The normal form of labels."""

import unicodedata

# What dbt's macro `clean` strips: white space as defined by Unicode, the zero-width space and the byte-order mark.
WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)


def normal_form(label: str) -> str:
    """A label by which its spellings are the same: without white space at its ends, in NFC, with folded case."""
    folded = unicodedata.normalize("NFC", label.strip(WHITE_SPACE)).casefold()
    return unicodedata.normalize("NFC", folded)
