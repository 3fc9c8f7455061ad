import io
import sys
import zipfile
from importlib.metadata import packages_distributions

from pipeline.code import PACKAGES
from pipeline.parcel import INFERENCE, imported, modules_of, packed_code, pins

OPTIONAL = {"torchvision", "mamba_ssm", "h5py"}
"""Imported only to fetch data, only on a GPU, and only to read recordings in HDF5."""


def test_a_parcel_holds_what_a_model_imports_and_no_more():
    names = zipfile.ZipFile(io.BytesIO(packed_code())).namelist()
    assert {"pipeline/inference.py", "pipeline/__init__.py", "models/scan_kernels.py", "models/lstm/function.py"} < set(
        names
    )
    assert not [name for name in names if name.startswith(("analysis/", "pipeline/tracking/", "pipeline/ablation/"))]
    assert len(packed_code()) < 180_000
    packed_code.cache_clear()
    assert packed_code() is not packed_code.__wrapped__()
    assert packed_code() == packed_code.__wrapped__()


def test_every_package_that_a_model_imports_is_pinned():
    imports = {name.partition(".")[0] for file in modules_of(INFERENCE).values() for name in imported(file, later=True)}
    foreign = imports - sys.stdlib_module_names - set(PACKAGES) - OPTIONAL
    assert {"torch", "kan"} < foreign
    distributions = packages_distributions()
    pinned = {pin.partition("==")[0] for pin in pins()}
    assert {distributions[name][0].lower().replace("_", "-") for name in foreign} <= pinned
    assert "sympy" in pinned  # pykan imports it and does not say so
    assert not [pin for pin in pins() if "nvidia" in pin or "+" in pin]
