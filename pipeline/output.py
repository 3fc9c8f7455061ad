"""The folder of results: it belongs to one study, and every file in it is written atomically."""

import uuid
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryFile

from pipeline.errors import UsageError, writing
from pipeline.evidence import add_outputs
from pipeline.study import read_json
from pipeline.tracking import Tracker


def check_output(output: Path, study_id: str) -> None:
    """Raise UsageError if a folder holds the results of another study, or cannot be written to."""
    check_writable(output)
    if not (output / "summary.json").is_file():
        return
    held = read_json(output / "summary.json").get("study")
    if held != study_id:
        raise UsageError(
            f"--output: must be a new folder or that of study {study_id}, got {output} with study {held}. "
            "Name another folder, or move that one away."
        )


def check_writable(output: Path) -> None:
    """Raise UsageError if a folder cannot be created or written to. Folders that are created for this test are removed again."""
    made = []
    try:
        for folder in reversed([output, *output.parents]):
            with suppress(FileExistsError):
                folder.mkdir()
                made.append(folder)
        with TemporaryFile(dir=output):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--output: must be a folder that can be written to, got {output} ({reason}). Name another one."
        ) from None
    finally:
        for folder in reversed(made):
            with suppress(OSError):  # another process may have put something there
                folder.rmdir()


def deliver(folder: Path, output: Path, tracker: Tracker, run_id: str, *, unstored: Collection[str] = ()) -> None:
    """Store every file of a folder with a run, and copy it atomically to the output folder.

    The digests of the files are stored with the run at the end. Files that are `unstored`, by their paths in the folder, are only
    copied: the store has them elsewhere, or does not need them.
    """
    files = _files(folder)
    for name, file in files.items():
        subfolder = file.parent.relative_to(folder).as_posix()
        if name not in unstored:
            tracker.log_file(run_id, file, "" if subfolder == "." else subfolder)
        _put(file, output / name, output)
    add_outputs(run_id, {name: file for name, file in files.items() if name not in unstored}, tracker)


def put_all(folder: Path, output: Path) -> None:
    """Copy every file of a folder into the output folder, each atomically."""
    for name, file in _files(folder).items():
        _put(file, output / name, output)


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _put(file: Path, place: Path, output: Path) -> None:
    temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex}.tmp")  # another process may write the same file
    with writing(output):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            copyfile(file, temporary)
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
