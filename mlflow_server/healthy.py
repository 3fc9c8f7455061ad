"""Exit code 0 where the tracking server answers from its database, 1 elsewhere: the health check of the stack."""

import os
import sys
import urllib.request

ADDRESS = f"http://localhost:{os.environ['MLFLOW_PORT']}/api/2.0/mlflow/experiments/search?max_results=1"

try:
    urllib.request.urlopen(ADDRESS, timeout=5).close()
except OSError as error:
    sys.exit(str(error))
