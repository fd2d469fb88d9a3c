"""Whether the agent works: its last round was not long ago, and nothing that is released is damaged."""

import json
import os
import sys
import time
from pathlib import Path

try:
    state = json.loads(Path(os.environ.get("AGENT_STATE", "/tmp/agent.json")).read_text("utf-8"))
except (OSError, ValueError) as error:
    sys.exit(f"no round was finished yet: {error}")
age = time.time() - state["ts"]
if age > 900 or state["damaged"]:
    sys.exit(f"last round {age:.0f} s ago; damaged: {state['damaged']}")
sys.stdout.write(f"last round {age:.0f} s ago; problems: {state['problems'] or 'none'}\n")
