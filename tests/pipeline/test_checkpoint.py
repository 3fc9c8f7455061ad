import errno
import os

import pytest
import torch

from pipeline import checkpoint
from pipeline.errors import DiskError, UsageError


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    state = {"model": {"w": torch.arange(3.0)}, "epoch": 2, "history": [{"epoch": 1.0}]}
    checkpoint.save(tmp_path / "folder" / "last.pt", state)
    loaded = checkpoint.load(tmp_path / "folder" / "last.pt")
    assert torch.equal(loaded.pop("model")["w"], state.pop("model")["w"])
    assert loaded == state


def test_a_save_that_fails_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"epoch": 1})
    with pytest.raises((AttributeError, TypeError)):
        checkpoint.save(path, {"epoch": (number for number in "cannot be stored")})
    assert checkpoint.load(path) == {"epoch": 1}


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:500] if damage is None else damage)
    with pytest.raises(UsageError, match=r"last\.pt: must be a readable checkpoint, got .*Delete it"):
        checkpoint.load(path)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"model": Trap()}, tmp_path / "last.pt")
    with pytest.raises(UsageError, match="must be a readable checkpoint"):
        checkpoint.load(tmp_path / "last.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_flipped_byte_is_noticed_before_anything_is_read(tmp_path, monkeypatch, place):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"weights": torch.zeros(1000)})
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(UsageError, match=r"last\.pt: must be a readable checkpoint, got .*digest"):
        checkpoint.load(path, older=False)


def test_torch_reads_a_checkpoint_and_what_older_code_wrote_is_read_where_that_is_allowed(tmp_path):
    checkpoint.save(tmp_path / "new.pt", {"epoch": 1})
    assert torch.load(tmp_path / "new.pt", weights_only=True) == {"epoch": 1}
    torch.save({"epoch": 1}, tmp_path / "old.pt")
    assert checkpoint.load(tmp_path / "old.pt") == {"epoch": 1}
    with pytest.raises(UsageError, match="without its digest, cut, changed or written by older code"):
        checkpoint.load(tmp_path / "old.pt", older=False)


@pytest.mark.parametrize("kind", ["ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM"])
def test_a_disk_without_room_is_said_with_its_place_and_leaves_the_old_checkpoint_alone(tmp_path, monkeypatch, kind):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"epoch": 1})

    def full(_):
        raise OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match=r"last\.pt: must have room and be writable, got .* goes on\."):
        checkpoint.save(path, {"epoch": 2})
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]
    assert checkpoint.load(path) == {"epoch": 1}
