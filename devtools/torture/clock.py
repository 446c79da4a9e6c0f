"""A wall clock that can be set for one run, since the machine's is not ours to set."""

import shutil
import struct
import subprocess
from pathlib import Path

CODE = Path(__file__).with_suffix(".c")


class Clock:
    """The wall clock of the runs that are told of it.

    Attributes:
        environment: variables that tell a process, and those that it starts.
    """

    def __init__(self, folder: Path):
        """Compile what reads it, and set it right.

        Args:
            folder: where that is kept.
        """
        self._offset, library = folder / "clock-offset", folder / "clock.so"
        self._offset.touch()
        self.set(0)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, CODE, "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._offset)}

    @staticmethod
    def can_be_made() -> bool:
        """Whether there is a C compiler."""
        return bool(shutil.which("cc"))

    def set(self, seconds: int) -> None:
        """Make it wrong by so many seconds; 0: right."""
        # In place: whoever reads it has it mapped.
        with self._offset.open("r+b") as file:
            file.write(struct.pack("=q", seconds))
