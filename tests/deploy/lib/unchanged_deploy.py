"""Print the seconds of a deploy of an unchanged checkout against the stand-ins, which must change nothing.

`python unchanged_deploy.py URL-OF-A-CLOUD-STORAGE FOLDER`; gcloud keeps its files in the empty folder, too.
"""

import sys
import time
from pathlib import Path

from world import World, make_program

upstream, folder = sys.argv[1], Path(sys.argv[2])
for name in ("program", "gcloud", "home"):
    (folder / name).mkdir()
world = World(make_program(folder / "program"), folder / "gcloud", upstream, folder / "home")
first = world.run("deploy")
assert first.status == 0, first.text
done = len(world.server.requests)
began = time.monotonic()
second = world.run("deploy")
seconds = time.monotonic() - began
assert second.status == 0, second.text
assert world.changes(done) == []
print(seconds)
