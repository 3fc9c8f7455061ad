"""Fetches original files ahead of their use: `python -m pipeline.data MNIST FashionMNIST`."""

import sys

from pipeline.data.base import data_folder
from pipeline.data.events import DataError
from pipeline.data.sources import FASHION_MNIST, KMNIST, MNIST, ImageFiles, fetch

KNOWN: dict[str, ImageFiles] = {files.folder: files for files in (MNIST, FASHION_MNIST, KMNIST)}


def main(names: list[str]) -> int:
    """Fetch the files of each of `names`; return the exit code."""
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        sys.stderr.write(f"error: {unknown[0]}: must be one of {', '.join(KNOWN)}, got another name. Correct it.\n")
        return 2
    try:
        for name in names:
            sys.stdout.write(f"data: looking for {name} in {data_folder()}\n")
            fetch(KNOWN[name], data_folder())
    except DataError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
