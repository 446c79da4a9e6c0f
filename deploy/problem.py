"""Something that Composer would reject, and what to do."""

from typing import Self


class Problem(str):
    """A line of an error message: what is wrong and where, and its remedy."""

    found: str
    remedy: str

    def __new__(cls, found: str, remedy: str) -> Self:
        """Join both parts."""
        made = super().__new__(cls, f"{found}: {remedy}")
        made.found, made.remedy = found, remedy
        return made

    def at(self, where: object) -> "Problem":
        """The same problem with its place in front."""
        return Problem(f"{where}: {self.found}", self.remedy)
