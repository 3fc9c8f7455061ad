"""What compiled code is made of: elementary functions near those of numpy, and a cache that is never stale."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numba import njit
from numba.core import caching

from models import compilation
from models.compilation import compiled, exponential, hyperbolic_tangent, sigmoid


@njit
def _exponentials(x, y):
    for i in range(len(x)):
        y[i] = exponential(x[i])


@njit
def _tangents(x, y):
    for i in range(len(x)):
        y[i] = hyperbolic_tangent(x[i])


@njit
def _sigmoids(x, y):
    for i in range(len(x)):
        y[i] = sigmoid(x[i])


FUNCTIONS = {
    "exponential": (_exponentials, np.exp, 1.2e-7),
    "tangent": (_tangents, np.tanh, 3e-7),
    "sigmoid": (_sigmoids, lambda x: 1 / (1 + np.exp(-x)), 2e-7),
}


@pytest.mark.parametrize("limit", [87, 9, 0.7, 1e-4])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_elementary_function_is_as_near_as_it_says(name, limit):
    ours, theirs, tolerance = FUNCTIONS[name]
    x = np.linspace(-limit, limit, 400_000, dtype=np.float32)
    y = np.empty_like(x)
    ours(x, y)
    assert np.abs(y / theirs(x.astype(np.float64)) - 1).max() < tolerance


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_double_precision_it_is_that_of_the_c_library(name):
    ours, theirs, _ = FUNCTIONS[name]
    x = np.linspace(-9, 9, 1001)
    y = np.empty_like(x)
    ours(x, y)
    np.testing.assert_allclose(y, theirs(x), rtol=1e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_not_a_number_stays_one_and_infinity_saturates(name):
    ours, _, _ = FUNCTIONS[name]
    x = np.array([np.nan, np.inf, -np.inf], np.float32)
    y = np.empty_like(x)
    ours(x, y)
    highest, lowest = {"exponential": (6e37, 0), "tangent": (1, -1), "sigmoid": (1, 0)}[name]
    assert np.isnan(y[0])
    assert y[1] >= highest
    assert abs(y[2] - lowest) < 1e-37


def test_where_no_folder_can_be_written_it_compiles_without_a_cache(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    double = compiled(lambda x: x + x)
    assert double(21) == 42
    assert not double.stats.cache_path


def test_another_error_of_the_compiler_is_not_hidden(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("another")

    monkeypatch.setattr(compilation, "njit", fail)
    with pytest.raises(RuntimeError, match="another"):
        compiled(lambda x: x)


SCRIPT = """
from pathlib import Path
from models.scan_kernels import shown
print(shown(1))
kept = Path("models/__pycache__").glob("scan_kernels.shown*.nbc")
print(len(list(kept)))
"""


def test_a_kernel_is_compiled_again_where_one_that_it_calls_has_changed(tmp_path):
    package = tmp_path / "models"
    package.mkdir()
    shutil.copy(Path(compilation.__file__), package)
    (package / "__init__.py").write_text("")
    (package / "lstm").mkdir()
    called = package / "lstm" / "called.py"
    (package / "scan_kernels.py").write_text(
        "from models.compilation import compiled\nfrom models.lstm.called import value\n\n"
        "@compiled\ndef shown(x):\n    return value(x)\n"
    )
    said = []
    for number in (1, 1, 2):
        called.write_text(
            f"from models.compilation import compiled\n\n@compiled\ndef value(x):\n    return {number} * x\n"
        )
        done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=True)
        said.append(done.stdout.split())
    assert said == [["1", "1"], ["1", "1"], ["2", "2"]]


UNPACKED = """
import sys
import zipfile
sys.path.insert(0, sys.argv[1])
from models.scan_kernels import shown
print(shown(1), sum(shown.stats.cache_hits.values()), sum(shown.stats.cache_misses.values()))
"""


def test_what_was_compiled_from_an_archive_is_found_from_another_place_by_its_source(tmp_path):
    kernel = "from models.compilation import compiled\n\n@compiled\ndef shown(x):\n    return {} * x\n"
    said = []
    for place, factor in (("one", 1), ("another", 1), ("third", 2)):
        (tmp_path / place).mkdir()
        archive = tmp_path / place / "code.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            packed.write(compilation.__file__, "models/compilation.py")
            packed.writestr("models/scan_kernels.py", kernel.format(factor))
            packed.writestr("models/lstm/__init__.py", "")
            packed.writestr("models/__init__.py", "")
        command, home = [sys.executable, "-c", UNPACKED, str(archive)], {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **home}, capture_output=True, text=True, check=True
        )
        said.append(done.stdout.split())
    assert said == [["1", "0", "1"], ["1", "1", "0"], ["2", "0", "1"]]
    assert [folder.name for folder in (tmp_path / "cache/numba").iterdir()] == ["time-embedding-comparison"]
