"""The page of benchmarks: a part between two markers is generated from the record, the text around it is written by hand."""

from pathlib import Path

from analysis.wording import markdown_table
from pipeline.bench.lines import COLUMNS, Line
from pipeline.bench.record import FILE, Measured, Origin, Record
from pipeline.bench.registry import SECTIONS
from pipeline.errors import UsageError

PAGE = "benchmarks.md"
BEGIN, END = "<!-- benchmarks: begin -->\n", "\n<!-- benchmarks: end -->"
NEW = f"# Benchmarks\n\n{BEGIN}{END}\n"
"""A page without handwritten text."""
VERSIONS = ("python", "torch", "numpy", "numba", "mlflow", "pandas", "scipy")


def check_folder(folder: Path) -> None:
    """Create the folder of a page, before anything is measured; `UsageError` if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--output: must be a folder that can be written, got {folder} ({error.strerror}). Name another one."
        ) from None
    if sorted(marker for marker in (BEGIN, END) if read_page(folder).count(marker) == 1) != sorted((BEGIN, END)):
        raise UsageError(
            f"{folder / PAGE}: must hold the lines {BEGIN.strip()} and {END.strip()} once each, got another page. "
            "Move it away, or name another folder."
        )


def read_page(folder: Path) -> str:
    """Return the page of a folder, or a new one."""
    file = folder / PAGE
    return file.read_text(encoding="utf-8") if file.exists() else NEW


def write(record: Record, folder: Path) -> None:
    """Write record and page, each atomically; the text around the markers is kept."""
    before, rest = read_page(folder).split(BEGIN)
    after = rest.split(END)[1]
    _replace(folder / FILE, record.model_dump_json(indent=1) + "\n")
    _replace(folder / PAGE, before + BEGIN + measured_part(record) + END + after)


def measured_part(record: Record) -> str:
    """Return the sections of a record as Markdown, in the order of the registry; sections not in the registry are left out."""
    return "\n\n".join(section(name, record.sections[name]) for name in SECTIONS if name in record.sections)


def section(name: str, measured: Measured) -> str:
    """Return one section as Markdown."""
    about = SECTIONS[name]
    columns, rows = table(measured.lines)
    return "\n\n".join([f"## {about.title}", about.what, markdown_table(columns, rows), origin(name, measured.origin)])


def table(lines: tuple[Line, ...]) -> tuple[list[str], list[list[str]]]:
    """Return the columns that are not empty, and the rows."""
    rows = [line.cells() for line in lines]
    kept = [place for place in range(len(COLUMNS)) if any(row[place] for row in rows)]
    return [COLUMNS[place] for place in kept], [[row[place] for place in kept] for row in rows]


def origin(name: str, its: Origin) -> str:
    """Return a sentence that says where and when a section was measured, and how to repeat it."""
    there = its.environment
    versions = ", ".join(f"{package} {there[package]}" for package in VERSIONS)
    quick = " --quick" * its.quick
    return (
        f"{there['processor']}, {its.cores} cores, {there['platform']}; {versions}; {there['threads']} thread(s), "
        f"`precision: auto` is {its.precision}; {its.date}, commit {its.commit or 'unknown'}; {its.seconds:.0f} s, "
        f"load {its.load:.1f}. "
        f"Again: `python -m pipeline bench --only {name}{quick}`."
    )


def _replace(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
