import shutil

from pipeline import output as module
from pipeline.output import deliver


def test_two_processes_that_deliver_the_same_study_at_once_leave_whole_files(tmp_path, memory, monkeypatch):
    runs = [memory.create(name, tags={}) for name in ("one", "other")]
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, text in zip(folders, ("first", "second, which is longer"), strict=True):
        folder.mkdir()
        (folder / "report.md").write_text(text)
    copies = []

    def copy(source, target):
        if source.parent == folders[0] and len(copies) == 0:
            copies.append(target)
            deliver(folders[1], tmp_path / "out", memory, runs[1])  # the other comes between copy and rename
        shutil.copyfile(source, target)
        copies.append(target)

    monkeypatch.setattr(module, "copyfile", copy)
    deliver(folders[0], tmp_path / "out", memory, runs[0])
    assert len(set(copies)) == 2
    assert (tmp_path / "out" / "report.md").read_text() == "first"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.md"]
