"""A wall clock that can be set for single runs, without setting that of the machine."""

import shutil
import struct
import subprocess
from pathlib import Path

CODE = Path(__file__).with_suffix(".c")


class Clock:
    """A wall clock for processes that are started with its environment.

    Attributes:
        environment: variables that make a process, and those that it starts, read this clock.
    """

    def __init__(self, folder: Path):
        """Compile the library that reads it, into a folder, and set it right."""
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
        # In place: its readers have the file mapped.
        with self._offset.open("r+b") as file:
            file.write(struct.pack("=q", seconds))
