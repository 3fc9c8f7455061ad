"""The health check of the stack: exit code 0 if the tracking server answers from its database, else 1.

The request uses an account that does not exist. The server looks it up in its database, does not find it, and answers 401.
"""

import os
import sys
import urllib.request
from base64 import b64encode
from http import HTTPStatus
from urllib.error import HTTPError

NOBODY = {"Authorization": f"Basic {b64encode(b'health:').decode()}"}
ADDRESS = f"http://localhost:{os.environ.get('MLFLOW_PORT') or 5000}/api/2.0/mlflow/experiments/search?max_results=1"

try:
    urllib.request.urlopen(urllib.request.Request(ADDRESS, headers=NOBODY), timeout=5).close()
except HTTPError as error:
    if error.code != HTTPStatus.UNAUTHORIZED:
        sys.exit(str(error))
except OSError as error:
    sys.exit(str(error))
