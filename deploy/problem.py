"""Something that Composer would reject, and what to do."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class Problem:
    """What is wrong and where, and its remedy."""

    found: str
    remedy: str

    def __str__(self) -> str:
        """Both, as a line of an error message."""
        return f"{self.found}: {self.remedy}"

    def at(self, where: object) -> Self:
        """The same problem with its place in front."""
        return replace(self, found=f"{where}: {self.found}")
