"""The signature of an archive: Ed25519 (RFC 8032) over the crate's metadata, which list the SHA-256 of every other member.

Keys are files as `ssh-keygen -t ed25519` or `openssl genpkey -algorithm ed25519` write them. The same key signs the same bytes
with the same signature, so repeated exports of a signed archive have the same bytes.
"""

import hashlib
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_private_key,
    load_ssh_public_key,
)
from pydantic import BaseModel, ConfigDict

from pipeline.errors import UsageError
from pipeline.exchange.archive import ANOTHER, Members
from pipeline.exchange.contents import CRATE, SIGNATURE, Contents, canonical

LARGEST_KEY = 2**16
"""Number of bytes that are read from a key file."""
MAKE = "`ssh-keygen -t ed25519 -f NAME` makes a private and a public one."


class Signature(BaseModel):
    """A signature: the key and the signed member; bytes are in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: Literal["ed25519"] = "ed25519"
    signed: Literal["ro-crate-metadata.json"] = "ro-crate-metadata.json"
    public_key: str
    """The 32 bytes of the public key."""
    signature: str


def private_key(file: Path) -> Ed25519PrivateKey:
    """Read a private key; UsageError if the file has no Ed25519 key, or one with a passphrase."""
    content = _read(file, "--sign")
    for load in (load_ssh_private_key, load_pem_private_key):
        try:
            key = load(content, None)
        except (ValueError, UnsupportedAlgorithm):
            continue
        except TypeError:
            raise UsageError(
                f"--sign: must be a key without a passphrase, got {file}. `ssh-keygen -p -f FILE` takes it off a copy."
            ) from None
        if isinstance(key, Ed25519PrivateKey):
            return key
    raise UsageError(f"--sign: must be a file with a private Ed25519 key, got {file}. {MAKE}")


def public_key(file: Path) -> Ed25519PublicKey:
    """Read a public key; UsageError if the file has no Ed25519 key."""
    content = _read(file, "--key")
    for load in (load_ssh_public_key, load_pem_public_key):
        try:
            key = load(content)
        except (ValueError, UnsupportedAlgorithm):
            continue
        if isinstance(key, Ed25519PublicKey):
            return key
    raise UsageError(f"--key: must be a file with a public Ed25519 key, got {file}. {MAKE}")


def signed(members: Members, key: Ed25519PrivateKey) -> dict[str, bytes]:
    """Return the member with the signature of an archive."""
    signature = Signature(
        public_key=b64encode(key.public_key().public_bytes_raw()).decode(),
        signature=b64encode(key.sign(members[CRATE])).decode(),
    )
    return {SIGNATURE: canonical(signature.model_dump())}


def check_signature(contents: Contents, wanted: Ed25519PublicKey | None = None) -> str:
    """Return by which key an archive is signed.

    UsageError if the signature does not match the contents, or if it is not by the key `wanted`, if that is given.
    """
    by = f"by the key {fingerprint(wanted)}" if wanted else f"by the key that {SIGNATURE} names"
    try:
        found = Signature.model_validate_json(contents.members[SIGNATURE])
        public = Ed25519PublicKey.from_public_bytes(b64decode(found.public_key, validate=True))
        public.verify(b64decode(found.signature, validate=True), contents.members[CRATE])
        got = f"by the key {fingerprint(public)}"
    except KeyError:
        got = "by none"
    except (ValueError, InvalidSignature):
        got = "by none: the signature is not that of what the file holds"
    if got != by and (wanted or got.startswith("by none")):
        raise UsageError(f"{contents.file}: must be signed {by}, got one signed {got}. {ANOTHER}")
    return got


def fingerprint(public: Ed25519PublicKey) -> str:
    """Return the fingerprint of a key as `ssh-keygen -l` prints it."""
    blob = b64decode(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])
    return f"SHA256:{b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def _read(file: Path, where: str) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_KEY)
    except OSError as error:
        raise UsageError(f"{where}: must be a readable file, got {file} ({error.strerror}). Check the path.") from None
