"""Give the page of MLflow's UI the start that fits this stack; run by the environment's Python after the installation.

Otherwise it opens in its view for GenAI, and tells on its home page that it collects usage data although that is off.
"""

import json
import os
from importlib.util import find_spec
from pathlib import Path

# What the UI keeps in the browser; a person's own choice stays.
DEFAULTS = {"mlflow.workflowType_v1": '"machine_learning"', "mlflow.telemetry.info.alert.dismissed_v1": "true"}
SCRIPT = (
    f"<script>for (const [key, value] of Object.entries({json.dumps(DEFAULTS)}))"
    "localStorage.getItem(key) ?? localStorage.setItem(key, value)</script>"
)


def main() -> None:
    """Add the script to the page once."""
    page = Path(find_spec("mlflow").submodule_search_locations[0], "server", "js", "build", "index.html")
    html = page.read_text("utf-8")
    if SCRIPT not in html:
        # Beside and renamed: the file may be the same one as in the installer's cache.
        new = page.with_suffix(".new")
        new.write_text(html.replace("<head>", f"<head>{SCRIPT}", 1), "utf-8")
        os.replace(new, page)


if __name__ == "__main__":
    main()
