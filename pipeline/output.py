"""The folder of results: that of one study, and every file whole or not at all."""

import uuid
from pathlib import Path
from shutil import copyfile

from pipeline.errors import UsageError
from pipeline.evidence import add_outputs
from pipeline.study import read_json
from pipeline.tracking import Tracker


def check_output(output: Path, study_id: str) -> None:
    """Refuse a folder that holds the results of another study."""
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output: must be a folder, got {output}, which is a file. Name another one.")
    if not (output / "summary.json").is_file():
        return
    held = read_json(output / "summary.json").get("study")
    if held != study_id:
        raise UsageError(
            f"--output: must be a new folder or that of study {study_id}, got {output} with study {held}. "
            "Name another folder, or move that one away."
        )


def deliver(folder: Path, output: Path, tracker: Tracker, run_id: str) -> None:
    """Store every file of a folder with a run, and move it into the output folder, each whole or not at all.

    Their digests are stored with the run when all are there.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    for name, file in files.items():
        place = output / name
        place.parent.mkdir(parents=True, exist_ok=True)
        subfolder = file.parent.relative_to(folder).as_posix()
        tracker.log_file(run_id, file, "" if subfolder == "." else subfolder)
        temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex}.tmp")  # others may write the same study
        copyfile(file, temporary)
        temporary.replace(place)
    add_outputs(run_id, files, tracker)
