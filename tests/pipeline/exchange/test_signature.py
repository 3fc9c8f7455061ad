"""Signatures of archives: which key signed what, and what is refused."""

import json
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pipeline.__main__ import main
from pipeline.errors import UsageError
from pipeline.exchange import archive, recount, sending, signature
from pipeline.exchange.contents import load
from pipeline.exchange.sending import export_study
from pipeline.exchange.signature import check_signature, fingerprint, private_key, public_key
from pipeline.exchange.taking import import_file
from pipeline.stored_study import find_study

OPENSSH, PEM = "OpenSSH", "PEM"


def write_keys(folder, name, form, seed):
    """Write the two files of a key, and return it."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    private, public = {
        OPENSSH: (PrivateFormat.OpenSSH, (Encoding.OpenSSH, PublicFormat.OpenSSH)),
        PEM: (PrivateFormat.PKCS8, (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
    }[form]
    (folder / name).write_bytes(key.private_bytes(Encoding.PEM, private, NoEncryption()))
    (folder / f"{name}.pub").write_bytes(key.public_key().public_bytes(*public))
    return key


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A folder with the keys of who signs, and of another one."""
    folder = tmp_path_factory.mktemp("keys")
    write_keys(folder, "lab", OPENSSH, 1)
    write_keys(folder, "other", PEM, 2)
    return folder


@pytest.fixture
def signed(exported, keys, tmp_path):
    """A signed archive."""
    members = archive.read(exported.bare)
    archive.write(tmp_path / "signed.zip", members | signature.signed(members, private_key(keys / "lab")))
    return tmp_path / "signed.zip"


@pytest.fixture
def quick(monkeypatch):
    """Let verification and export leave out the analysis, which takes seconds and has tests of its own."""
    monkeypatch.setattr(recount, "_derived", lambda _: ("left out", None))
    monkeypatch.setattr(sending, "report_of", lambda _: {})


def lines_of(capsys, name):
    return [line for line in capsys.readouterr().out.splitlines() if line[7:].startswith(f"{name}: ")]


@pytest.mark.usefixtures("quick")
def test_the_owner_of_the_key_is_named_and_another_is_refused(signed, keys, capsys):
    by = f"by the key {fingerprint(public_key(keys / 'lab.pub'))}"
    assert main(["verify", str(signed)]) == 0
    assert lines_of(capsys, "signature") == [f"holds  signature: {by}"]
    assert main(["verify", str(signed), "--key", str(keys / "lab.pub")]) == 0
    assert lines_of(capsys, "signature") == [f"holds  signature: {by}"]
    assert main(["verify", str(signed), "--key", str(keys / "other.pub")]) == 1
    [line] = lines_of(capsys, "signature")
    assert line.startswith("FAILS")
    assert f"got one signed {by}" in line


@pytest.mark.usefixtures("quick")
def test_an_archive_without_a_signature_fails_where_a_key_is_given(exported, keys, capsys):
    assert main(["verify", str(exported.bare), "--key", str(keys / "lab.pub")]) == 1
    [line] = lines_of(capsys, "signature")
    assert "got one signed by none. " in line


@pytest.mark.usefixtures("quick")
def test_a_signature_adds_one_member_and_is_the_same_each_time(analysed, keys, workplace, monkeypatch):
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (analysed, None))
    study = find_study(analysed).manifest.id
    for name, flags in {"bare": [], "one": ["--sign", str(keys / "lab")], "two": ["--sign", str(keys / "lab")]}.items():
        assert main(["export", study, f"{name}.zip", *flags]) == 0
    assert (workplace / "one.zip").read_bytes() == (workplace / "two.zip").read_bytes()
    members, bare = archive.read(workplace / "one.zip"), archive.read(workplace / "bare.zip")
    assert members.keys() - bare.keys() == {"signature.json"}
    assert {name: members[name] for name in bare} == bare
    assert check_signature(load(workplace / "one.zip"), public_key(keys / "lab.pub"))


def changed(members):
    members["report/significance.csv"] += b"\n"


def described_anew(members):
    crate = json.loads(members["ro-crate-metadata.json"])
    crate["@graph"][-1]["contentSize"] = "1"
    members["ro-crate-metadata.json"] = json.dumps(crate).encode()


def other_signature(members):
    found = json.loads(members["signature.json"])
    members["signature.json"] = json.dumps({**found, "signature": found["signature"][::-1]}).encode()


def no_signature(members):
    members["signature.json"] = b"{}"


def other_algorithm(members):
    members["signature.json"] = members["signature.json"].replace(b'"ed25519"', b'"none"')


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (changed, "files"),
        (described_anew, "signature"),
        (other_signature, "signature"),
        (no_signature, "signature"),
        (other_algorithm, "signature"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_was_changed_after_it_was_signed_fails_and_is_not_imported(signed, keys, elsewhere, change, check):
    members = archive.read(signed)
    change(members)
    archive.write(signed, members)
    failed = []
    for name, holds in recount.evidence(load(signed), public_key(keys / "lab.pub")):
        try:
            holds()
        except UsageError:
            failed.append(name)
    assert failed == [check]
    with pytest.raises(UsageError, match=f"{signed.name}: .*must be"):
        import_file(signed, elsewhere)
    assert elsewhere.find() == []


@pytest.mark.usefixtures("quick")
def test_a_signed_archive_is_imported_as_one_without(signed, elsewhere, exported, workplace):
    import_file(signed, elsewhere)
    export_study(find_study(elsewhere), elsewhere, workplace / "back.zip", weights=False)
    back, bare = archive.read(workplace / "back.zip"), archive.read(exported.bare)
    assert {name: bare[name] for name in back if name.startswith("runs/")} == {
        name: content for name, content in back.items() if name.startswith("runs/")
    }
    assert "signature.json" not in back


@pytest.mark.parametrize("form", [OPENSSH, PEM])
def test_keys_of_ssh_and_of_openssl_are_read(tmp_path, form):
    key = write_keys(tmp_path, "lab", form, 3)
    assert private_key(tmp_path / "lab").private_bytes_raw() == key.private_bytes_raw()
    assert public_key(tmp_path / "lab.pub") == key.public_key()


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="OpenSSH is not installed")
def test_the_fingerprint_is_that_of_ssh_keygen(tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "lab"], check=True)
    done = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "lab.pub"], check=True, capture_output=True, text=True)
    assert done.stdout.split()[1] == fingerprint(private_key(tmp_path / "lab").public_key())


def text(folder):
    (folder / "key").write_text("no key")


def empty(folder):
    (folder / "key").write_bytes(b"")


def absent(_folder):
    pass


def directory(folder):
    (folder / "key").mkdir()


def other_kind(folder):
    key = generate_private_key(SECP256R1())
    (folder / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def with_passphrase(folder):
    key, secret = Ed25519PrivateKey.from_private_bytes(bytes(32)), BestAvailableEncryption(b"words")
    (folder / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))


@pytest.mark.parametrize("make", [text, empty, absent, directory, other_kind, with_passphrase])
@pytest.mark.parametrize("flag", ["--sign", "--key"])
def test_a_file_without_such_a_key_is_one_line(exported, workplace, capsys, make, flag):
    make(workplace)
    command = {"--sign": ["export", "demo", "new.zip"], "--key": ["verify", str(exported.bare)]}[flag]
    assert main([*command, flag, "key"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {flag}: must be ")
    assert ", got key" in said
    assert said.count("\n") == 1
    assert not (workplace / "new.zip").exists()


def test_a_key_without_a_file_is_refused(capsys):
    assert main(["verify", "--key", "lab.pub"]) == 2
    assert capsys.readouterr().err.startswith("error: --key: must stand with a file of export, got one without.")
