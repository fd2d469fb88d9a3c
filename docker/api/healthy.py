"""Whether this container's server is ready; exits with 1 if it is not."""

import os
import sys
import urllib.error
import urllib.request

try:
    with urllib.request.urlopen(f"http://127.0.0.1:{os.environ['PINDET_PORT']}/health/ready", timeout=4):
        pass
except (urllib.error.URLError, OSError) as error:
    sys.exit(f"not ready: {error}")
