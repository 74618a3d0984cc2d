"""Start a session with nothing but the variables that it is to have. Run as a script, with ``start.json`` beside it.

What a record tells stands in that file: a command prefix such as ssh may hand its words to a shell.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points

#: Name of the plugin's entry point.
PLUGIN = "repro"


def main() -> None:
    """Replace this process by the session."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "start.json"), encoding="utf-8") as file:
        plan = json.load(file)
    variables = {name: os.environ[name] for name in plan["kept"] if name in os.environ}
    is_installed = PLUGIN in {each.name for each in entry_points(group="pytest11")}
    named = [] if is_installed else ["-p", "pytest_repro.plugin"]
    command = [sys.executable, "-m", "pytest", *named, *plan["arguments"]]
    environment = {**variables, **plan["variables"]}
    os.chdir(plan["directory"])
    if os.name == "nt":
        sys.exit(subprocess.call(command, env=environment))
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    main()
