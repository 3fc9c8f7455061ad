"""Descriptions of an archive of evidence for other programs: RO-Crate metadata, and a Croissant description of its predictions.

Sources: RO-Crate 1.1 (https://w3id.org/ro/crate/1.1), Croissant 1.0 (http://mlcommons.org/croissant/1.0). Both are JSON-LD.
The metadata of the crate also lists the SHA-256 of every other member; archives are verified against that list.
"""

import json
from collections.abc import Iterator
from typing import Any

from analysis.wording import plural
from pipeline.errors import UsageError
from pipeline.exchange.archive import ANOTHER, Members, digest
from pipeline.exchange.contents import CLASSES, CRATE, CROISSANT, ENVIRONMENT, RUNS, SIGNATURE, Contents, canonical

KINDS = {
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "md": "text/markdown",
    "tex": "application/x-tex",
    "html": "text/html",
    "log": "text/plain",
    "py": "text/x-python",
    "pt": "application/zip",
}
LICENCE = "Not stated here: whoever publishes the archive says under which licence."
VOCABULARY = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format",
            "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
            "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
        )
    },
}  # fmt: skip
"""The JSON-LD context that Croissant prescribes."""
ANSWERS = {
    "sample_id": ("sc:Integer", "Number of the test sequence."),
    "length": ("sc:Integer", "How many events it has."),
    "label": ("sc:Integer", "Number of its class."),
    "predicted": ("sc:Integer", "Number of the class that the model gave."),
    "confidence": ("sc:Float", "Probability of that class by the model."),
    "log_likelihood": ("sc:Float", "Natural logarithm of the probability of the true class by the model."),
}
"""Columns of the predictions of a run, with their types and meanings."""


def described(contents: Contents) -> dict[str, bytes]:
    """Return the two documents about an archive that has all its other members."""
    croissant = {CROISSANT: canonical(_croissant(contents))}
    return {**croissant, CRATE: canonical(_crate(contents, {**contents.members, **croissant}))}


def changed(contents: Contents) -> list[str]:
    """Return one line for each difference between the members and the list in the metadata of the crate.

    UsageError if the archive has no such metadata, or unreadable ones.
    """
    members = {name: content for name, content in contents.members.items() if name != SIGNATURE}
    try:
        listed = {
            entry["@id"]: str(entry["sha256"])
            for entry in json.loads(members.pop(CRATE))["@graph"]
            if entry["@type"] == "File"
        }
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{contents.file}: must hold {CRATE} as `export` writes it, got none or another. {ANOTHER}"
        ) from None
    said = [f"{name} must be there, got none" for name in sorted(listed.keys() - members.keys())]
    said += [
        f"{name} must be listed in {CRATE}, got one that is not" for name in sorted(members.keys() - listed.keys())
    ]
    for name in sorted(listed.keys() & members.keys()):
        if (found := digest(members[name])) != listed[name]:
            said.append(f"{name} must be as it was exported (SHA-256 {listed[name][:12]}), got another ({found[:12]})")
    return said


def _crate(contents: Contents, members: Members) -> dict[str, Any]:
    files = sorted(members)
    code = {
        key: contents.index.tags[key]
        for key in ("mlflow.source.git.commit", "package_version")
        if key in contents.index.tags
    }
    graph = [
        {
            "@id": CRATE,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            **_head(contents),
            "hasPart": [{"@id": name} for name in files],
            "mentions": [{"@id": f"#{name}"} for name, _ in _data(contents)],
        },
        {
            "@id": "#code",
            "@type": "SoftwareApplication",
            "name": "time-embedding-comparison",
            "softwareVersion": next(iter(code.values()), "unknown"),
        },
        {"@id": "#training", "@type": "CreateAction", "instrument": {"@id": "#code"}, "result": {"@id": "./"}},
        *({"@id": f"#{name}", "@type": "Dataset", "name": name, "description": said} for name, said in _data(contents)),
        *(
            {
                "@id": name,
                "@type": "File",
                "name": name,
                "encodingFormat": KINDS.get(name.rpartition(".")[2], "application/octet-stream"),
                "contentSize": str(len(members[name])),
                "sha256": digest(members[name]),
            }
            for name in files
        ),
    ]
    return {
        "@context": ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://schema.org/sha256"}],
        "@graph": graph,
    }


def _croissant(contents: Contents) -> dict[str, Any]:
    answers = {"fileSet": {"@id": "answers"}}
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"answer/{name}",
            "name": name,
            "description": said,
            "dataType": kind,
            "source": {**answers, "extract": {"column": name}},
        }
        for name, (kind, said) in ANSWERS.items()
    ]
    cell = {
        "@type": "cr:Field",
        "@id": "answer/cell",
        "name": "cell",
        "description": "Identity of the run; study.json says of which model and seed.",
        "dataType": "sc:Text",
        "source": {
            **answers,
            "extract": {"fileProperty": "fullpath"},
            "transform": {"regex": "runs/([^/]+)/predictions.parquet"},
        },
    }
    classes = json.loads(contents.content(next(iter(contents.runs)), CLASSES))
    return {
        "@context": VOCABULARY,
        "@type": "sc:Dataset",
        **_head(contents),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "citeAs": f"Study {contents.manifest.id} of time-embedding-comparison, declared {contents.declaration.declared}.",
        "version": "1.0.0",
        "distribution": [
            {
                "@type": "cr:FileSet",
                "@id": "answers",
                "name": "answers",
                "description": "The answers of each run to the test sequences.",
                "encodingFormat": "application/x-parquet",
                "includes": f"{RUNS}*/predictions.parquet",
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "answer",
                "name": "answer",
                "description": f"An answer of a run to a test sequence. The classes in the order of their numbers: {', '.join(classes)}.",
                "field": [*fields, cell],
            }
        ],
    }


def _head(contents: Contents) -> dict[str, Any]:
    """Return the fields about the whole archive that both documents share."""
    manifest = contents.manifest
    data = " ".join(f"{name}: {said}" for name, said in _data(contents))
    return {
        "name": f"Evidence of study {manifest.name} ({manifest.id})",
        "description": (
            f"What {plural(len(contents.runs), 'run')} of {plural(len(manifest.variants), 'model')} answered, how they were "
            f"trained and what follows from it. The data of the study are not part of it. {data}"
        ),
        # The day of the declaration, because the time of the export would make the bytes differ from export to export.
        "datePublished": contents.declaration.declared,
        "identifier": manifest.id,
        "license": LICENCE,
    }


def _data(contents: Contents) -> Iterator[tuple[str, str]]:
    """Yield the name of each data set of the study, with a description."""
    seen = set()
    for entry, record in contents.cells:
        name, content = record.tags.get("dataset", "unknown"), record.tags.get("data_digest", "")
        if (name, content) in seen:
            continue
        seen.add((name, content))
        environment = json.loads(contents.content(entry.cell, ENVIRONMENT))
        sizes = ", ".join(
            f"{environment[split]} {split}" for split in ("train", "validation", "test") if split in environment
        )
        unit = environment.get("time_unit", "unknown")
        yield name, f"{sizes} sequences, unit of time {unit}, SHA-256 of the content {content}."
