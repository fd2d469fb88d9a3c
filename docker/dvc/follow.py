"""Brings the agent's clone to what its origin is now: what ``release`` does first, rather than wait for the agent."""

import sys

from project import ProjectError, open_project

if __name__ == "__main__":
    try:
        open_project().follow()
    except (ProjectError, OSError) as error:
        sys.stderr.write(f"release: {error}; going on with what the agent fetched last\n")
