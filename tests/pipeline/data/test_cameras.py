"""Recordings of event cameras, from files that are written here byte by byte."""

import struct
import sys

import numpy as np
import pytest

from pipeline.data import DataError
from pipeline.data.cameras import read_recordings
from pipeline.errors import UsageError

HEADER = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# Timestamps tick is 1 us\r\n"
HEADER_3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def packet(*events, kind=1, size=8, above=0, count=None):
    """Return a packet of AEDAT 3.1: its head, and pairs of 32 bits."""
    count = len(events) if count is None else count
    return struct.pack("<hhiiiiii", kind, 1, size, 4, above, count, count, count) + b"".join(
        struct.pack("<II", *event) for event in events
    )


def word(x, y, polarity, valid=1):
    return x << 17 | y << 2 | polarity << 1 | valid


@pytest.fixture
def read(tmp_path):
    def read(content, name="a.bin"):
        (tmp_path / name).write_bytes(content)
        return list(read_recordings(tmp_path / name))

    return read


def columns(recording):
    return [getattr(recording, name).tolist() for name in ("microseconds", "x", "y", "polarity")]


def test_five_bytes_are_an_event(read):
    # 0x81 is the polarity 1 above the seven bits 0x01: the time is 0x012345 = 1 * 65536 + 35 * 256 + 69.
    [recording] = read(bytes([3, 5, 0x01, 0x23, 0x45, 33, 0, 0x81, 0x23, 0x45, 255, 239, 0xFF, 0xFF, 0xFF]))
    assert columns(recording) == [[74565, 74565, 8388607], [3, 33, 255], [5, 0, 239], [0, 1, 1]]
    assert recording.label is None


def test_a_mark_of_overflow_is_no_event_and_adds_8192_microseconds_from_there_on(read):
    mark = [0, 240, 0, 0, 7]
    [recording] = read(bytes([1, 1, 0, 0, 9, *mark, 2, 1, 0, 0, 5, *mark, *mark, 3, 1, 0, 0, 0]))
    assert columns(recording)[:2] == [[9, 8192 + 5, 3 * 8192], [1, 2, 3]]


def test_an_address_of_a_dvs128_has_polarity_x_and_y_from_its_lowest_bit_on(read):
    # 0x0507 is 0 0000101 0000011 1: y = 5, x = 3, polarity 1.
    events = [(0x0507, 10), (0x7FFF, 11), (0x8000, 12), (0x7F00, 2**31 - 1)]
    [recording] = read(HEADER + b"".join(struct.pack(">II", *event) for event in events), "a.aedat")
    assert columns(recording) == [[10, 11, 2**31 - 1], [3, 127, 0], [5, 127, 127], [1, 1, 0]]


def test_packets_of_polarity_events_are_read_and_others_passed_over(read):
    content = [
        HEADER_3,
        packet((word(3, 5, 1), 10), (word(9, 9, 1, valid=0), 3), (word(32767, 0, 0), 12)),
        packet((1, 2), (3, 4), kind=0),
        packet(),
        packet(kind=2, size=100, count=1) + bytes(100),
        packet((word(0, 32767, 1), 4), above=2),
    ]
    [recording] = read(b"".join(content), "a.AEDAT")
    assert columns(recording) == [[10, 12, 2 * 2**31 + 4], [3, 32767, 0], [5, 0, 32767], [1, 0, 1]]


EVENT_2 = struct.pack(">II", 2, 5)
MALFORMED = {
    "a file that was cut off": ("a.bin", bytes(9), "got 9 bytes, which are no whole number of events of 5 bytes. Copy it"),
    "an empty file": ("a.bin", b"", "got one without events. Copy it again, or take it out of the folder."),
    "marks alone": ("a.bin", bytes([0, 240, 0, 0, 0]), "got one without events."),
    "a time that goes back": (
        "a.bin",
        bytes([1, 1, 0, 0, 9, 1, 1, 0, 0, 9, 1, 1, 0, 0, 8]),
        "got a time that goes back from 9 to 8 us at event 3. Cut it where its clock was set back",
    ),
    "no header": ("a.aedat", EVENT_2, "got a file that does not begin with #!AER-DAT2.0 or #!AER-DAT3.1. Copy"),
    "an empty AEDAT": ("a.aedat", b"", "got a file that does not begin with #!AER-DAT2.0"),
    "AEDAT 1": ("a.aedat", b"#!AER-DAT1.0\r\n", "got AEDAT 1.0, where 2.0 and 3.1 are read. Export its events"),
    "AEDAT 4": (
        "a.aedat",
        b"#!AER-DAT4.0\r\n\x10\0\0\0",
        "got AEDAT 4.0, where 2.0 and 3.1 are read. Export its events as CSV, and read them with data.name events_file.",
    ),
    "a header without an end": ("a.aedat", HEADER + b"# more", "got a header that does not end. Copy"),
    "a header alone": ("a.aedat", HEADER, "got one without events."),
    "half an event": ("a.aedat", HEADER + EVENT_2 + EVENT_2[:3], "got 11 bytes after its header, which are no whole"),
    "another camera": (
        "a.aedat",
        HEADER + struct.pack(">II", 0x80000001, 5),
        "got the address 0x80000001, which a DVS128 does not have. Export its events",
    ),
    "the clock of a DVS128 that ran over": (
        "a.aedat",
        HEADER + struct.pack(">IIII", 2, 2**31 - 1, 2, 2**31),
        "got a time that goes back from 2147483647 to -2147483648 us at event 2.",
    ),
    "packets without the end of a header": ("a.aedat", HEADER_3[:-14] + packet((1, 2)), "got a header without its last line"),
    "packed packets": (
        "a.aedat",
        HEADER_3.replace(b"RAW", b"SERIALIZED_TS"),
        "got packets in the format SERIALIZED_TS. Write them in the format RAW.",
    ),
    "a format of hostile bytes": ("a.aedat", HEADER_3.replace(b"RAW", b"\x1b[31m\xff"), "in the format \\x1b[31m\ufffd. Write"),
    "half a head": ("a.aedat", HEADER_3 + packet()[:9], "got 9 bytes at its end, where the head of a packet has 28."),
    "a packet that was cut off": (
        "a.aedat",
        HEADER_3 + packet((1, 2), count=2),
        "got a packet that says to have 2 events of 8 bytes, before the last 8 bytes.",
    ),
    "a packet of two billion events": ("a.aedat", HEADER_3 + packet(count=2**31 - 1), "says to have 2147483647 events"),
    "a packet of less than no events": ("a.aedat", HEADER_3 + packet(count=-1), "says to have -1 events of 8 bytes"),
    "events of no bytes": ("a.aedat", HEADER_3 + packet(size=0, kind=0, count=9), "says to have 9 events of 0 bytes"),
    "polarity events of another size": ("a.aedat", HEADER_3 + packet((1, 2), size=4), "1 events of 4 bytes"),
    "a time before zero": ("a.aedat", HEADER_3 + packet((1, 2), above=-1), "got a packet that says"),
    "packets without polarity": ("a.aedat", HEADER_3 + packet((1, 2), kind=0), "got one without events."),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_one_line_that_says_what_to_do(read, case):
    name, content, message = MALFORMED[case]
    with pytest.raises(DataError) as caught:
        read(content, name)
    line = str(caught.value)
    assert f"{name}: must be a whole recording, got " in line
    assert message in line
    assert line.isprintable()


def test_a_file_that_memory_cannot_hold_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a.bin").open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(
        UsageError, match=r"a\.bin: must fit into memory, got a recording of 1,099,511,627,776 bytes, which"
    ):
        next(read_recordings(tmp_path / "a.bin"))


def test_hdf5_without_its_package_says_what_to_install(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        DataError,
        match=r"a\.hdf5: must be a whole recording, got HDF5, which needs .* Install it with `pip install h5py`",
    ):
        read(b"", "a.hdf5")


@pytest.fixture
def h5(tmp_path):
    """What writes a file of HDF5, and gives the recordings in it."""
    h5py = pytest.importorskip("h5py")

    def write(fill):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            fill(h5py, file)
        return list(read_recordings(tmp_path / "a.h5"))

    return write


def spikes(
    h5py,
    file,
    *,
    labels=(1, 0),
    keys=(b"zero", b"one"),
    times=((0.5, 0.25), (0.0, 1e-6, 0.125)),
    units=((7, 699), (0, 1, 2)),
):
    """Write the spikes of some recordings as SHD has them."""
    for name, rows, kind in (("times", times, np.float16), ("units", units, np.uint16)):
        made = file.create_dataset(f"spikes/{name}", (len(rows),), dtype=h5py.vlen_dtype(kind))
        for number, row in enumerate(rows):
            made[number] = np.array(row, kind)
    file["labels"] = np.array(labels, np.uint16)
    if keys:
        file["extra/keys"] = np.array(keys)


def cached(_, file, *, target=4, **fields):
    """Write an array of events as tonic's cache has them."""
    columns = {"x": [3, 4], "y": [5, 6], "t": [100, 250], "p": [True, False], **fields}
    kinds = {"t": np.int64, "p": bool, "x": np.int16, "y": np.int16}
    events = np.empty(
        2, [(name, np.asarray(value).dtype if name in fields else kinds[name]) for name, value in columns.items()]
    )
    for name, value in columns.items():
        events[name] = value
    file.create_dataset("data/0", data=events, compression="lzf")
    file["target/0"] = target


def test_spikes_are_events_of_their_unit_sorted_by_time(h5):
    first, second = h5(spikes)
    assert columns(first) == [[250_000, 500_000], [699, 7], [0, 0], [1, 1]]
    # 1e-6 s is 17 * 2^-24 s, 1.0133 us, as a float of 16 bits.
    assert columns(second) == [[0, 1, 125_000], [0, 1, 2], [0, 0, 0], [1, 1, 1]]
    assert (first.label, second.label) == ("one", "zero")
    assert [one.label for one in h5(lambda *to: spikes(*to, keys=()))] == [1, 0]


def test_events_of_a_cache_are_read_as_they_are(h5):
    [recording] = h5(cached)
    assert columns(recording) == [[100, 250], [3, 4], [5, 6], [1, 0]]
    assert recording.label == 4
    assert h5(lambda *to: cached(*to, target="wave"))[0].label == "wave"


def test_a_text_that_is_called_hdf5_is_refused(read, h5):
    del h5  # its package is there
    with pytest.raises(
        DataError, match=r"a\.h5: must be a whole recording, got an error of HDF5 \(.*\)\. Copy it again, or"
    ):
        read(b"no HDF5", "a.h5")


def elsewhere(kind):
    """Return what writes labels that lie elsewhere than in the file."""

    def write(h5py, file):
        spikes(h5py, file)
        del file["labels"]
        if kind == "external":
            file.create_dataset("labels", (2,), np.uint16, external=[("/etc/hostname", 0, 4)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((2,), np.uint16)
            layout[:] = h5py.VirtualSource("other.h5", "labels", (2,))
            file.create_virtual_dataset("labels", layout)
        else:
            file["labels"] = (
                h5py.ExternalLink("other.h5", "labels") if kind == "linked" else h5py.SoftLink("/extra/keys")
            )

    return write


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (lambda *_: None, "got HDF5 with neither spikes/times, spikes/units and labels nor data/0 and target/0."),
        (elsewhere("linked"), "got HDF5 with neither"),
        (elsewhere("soft"), "got HDF5 with neither"),
        (elsewhere("external"), "got labels that is no array of its own"),
        (elsewhere("virtual"), "got labels that is no array of its own"),
        (lambda *to: spikes(*to, labels=(1, 0, 1)), "spikes/units and labels that are not one for each recording"),
        (lambda *to: spikes(*to, labels=(1, 2)), "got the label 2, where extra/keys has 2 names"),
        (lambda *to: spikes(*to, keys=(1, 2)), "got a name "),
        (lambda *to: spikes(*to, units=((7,), (0, 1, 2))), "got times and units of recording 0 that do not fit"),
        (lambda *to: spikes(*to, times=((0, 1), (0, np.nan, 1))), "got a time in recording 1 that is no number of seconds"),
        (lambda *to: spikes(*to, times=((0, -1), (0, 1, 1))), "got a time in recording 0 that is no number of seconds"),
        (lambda *to: spikes(*to, times=((0, 1), ()), units=((7, 8), ())), "got one without events"),
        (lambda *to: cached(*to, t=[250, 100]), "got a time that goes back from 250 to 100 us at event 2"),
        (lambda *to: cached(*to, t=[0.5, 1.0]), "got events with fields that are not whole numbers"),
        (lambda *to: cached(*to, target=[1, 2]), "got a target that is not one whole number or text"),
        (lambda *to: cached(*to, target=0.5), "got a target that is not one whole number or text"),
        (lambda _, file: file.create_dataset("data/0", data=[1, 2]) and file.create_dataset("target/0", data=1), "got data that are"),
    ],
)  # fmt: skip
def test_hdf5_of_another_form_is_refused(h5, fill, message):
    with pytest.raises(DataError) as caught:
        h5(fill)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_array_of_hdf5_that_says_to_be_larger_than_memory_is_refused(h5):
    def fill(_, file):
        file.create_dataset("data/0", (2**40,), [("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "?")], chunks=(1024,))
        file["target/0"] = 1

    with pytest.raises(
        UsageError, match=r"^\S+a\.h5: must fit into memory, got 1099511627776 values of data/0, which needs"
    ):
        h5(fill)
