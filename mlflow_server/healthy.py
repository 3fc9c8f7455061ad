"""Exit code 0 where the tracking server answers from its database, 1 elsewhere: the health check of the stack.

It asks as an account that is none. A server that looks that up in its database and finds nobody answers 401.
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
