"""A Ray cluster as the place where tasks run: the one package that knows Ray.

A task is a task of Ray with a CPU, memory and, where asked for, a part of a GPU. What it is given is pickled by `driver` and
read by `node` after the environment is set, as local workers have it. Messages and printed lines go through one actor on the
machine of the driver. Ray repeats nothing by itself: a task whose node or process is lost is given to another worker, and
finds in the store what the lost one had reached; one that ends by an error has ended.

The project and its packages must be on every node, in the same versions; `Cluster.check` sees to that. The data are put
into Ray's store once, and each node has them once, in memory that its workers share.
"""

import os

from pipeline.errors import UsageError

# Ray tells its makers of each cluster, and warns of what it will do about GPUs one day, unless it is told otherwise.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
try:
    import ray  # noqa: F401 - for all modules of the package
except ImportError:
    raise UsageError(
        "--launcher: must be local where Ray is not installed, got ray. Install it: .venv/bin/pip install 'ray==2.60.0'."
    ) from None
