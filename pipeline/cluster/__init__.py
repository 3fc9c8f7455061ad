"""Execution of tasks on a Ray cluster; no other package knows Ray.

A task is a Ray task with a CPU, memory and, if requested, a part of a GPU. Its arguments are pickled by `driver` and unpickled by
`node` after the environment is set, as for local workers. Messages and printed lines go through an actor on the machine of the
driver. Ray's own retries are off: a task whose node or process is lost is given to another worker, which resumes from the state
in the store; a task that ends with an error is not repeated.

The project and its packages must be installed on every node, in the same versions; `Cluster.check` verifies that. The data are put
into Ray's object store once, and each node holds them once, in memory that its workers share.
"""

import os

from pipeline.errors import UsageError

# Without these variables, Ray reports usage statistics, and warns about a future change of its handling of GPUs.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
try:
    import ray  # noqa: F401 - for all modules of the package
except ImportError:
    raise UsageError(
        "--launcher: must be local where Ray is not installed, got ray. Install it: .venv/bin/pip install 'ray==2.60.0'."
    ) from None
