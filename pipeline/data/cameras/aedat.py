"""Recordings in the AEDAT format: version 2.0 of the camera DVS128, and polarity events of version 3.1, as in DVS Gesture.

Source: the specifications of iniVation, docs.inivation.com/software/software-advanced-usage/file-formats.

- 2.0: lines that begin with #, then for each event an address and microseconds, 32 bits each, big-endian. From its lowest bit on, an
  address consists of the polarity, 7 bits x, 7 bits y, and a mark of events that are not from the sensor; those are left out.
- 3.1: lines up to #!END-HEADER, then packets, little-endian. A header of 28 bytes describes each packet; a polarity event is 32 bits
  (validity, polarity, 15 bits y, 15 bits x) and 31 bits of microseconds, to which the header adds the higher bits. Other
  packets and invalid events are left out.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.data.cameras.recording import Recording, RecordingError

VERSION = re.compile(rb"#!AER-DAT(\d\.\d)\r?\n")
END = re.compile(rb"^#!END-HEADER\r?\n", re.MULTILINE)
FORMAT = re.compile(rb"^#Format: *(.*?)\r?$", re.MULTILINE)
EVENT_BYTES = 8
HEAD = struct.Struct("<hhiiiiii")
"""Header of a packet: type, source, bytes per event, offset of the time, higher bits of the time, capacity, events, valid events."""
POLARITY = 1
"""Type of packets with polarity events."""
LARGEST_ADDRESS = 0xFFFF
EXTERNAL = 0x8000
"""Bit of an address that marks an event that is not from the sensor."""


def read_aedat(path: Path) -> Iterator[Recording]:
    """Yield the recording in a file."""
    content = path.read_bytes()
    found = VERSION.match(content)
    version = found[1].decode() if found else ""
    if version == "2.0":
        yield _version_2(content)
    elif version == "3.1":
        yield _version_3(content)
    elif found:
        raise RecordingError(
            f"AEDAT {version}, where 2.0 and 3.1 are read",
            "Export its events as CSV, and read them with data.name events_file.",
        )
    else:
        raise RecordingError("a file that does not begin with #!AER-DAT2.0 or #!AER-DAT3.1")


def _version_2(content: bytes) -> Recording:
    begin = 0
    while content.startswith(b"#", begin):
        begin = content.find(b"\n", begin) + 1
        if not begin:
            raise RecordingError("a header that does not end")
    size = len(content) - begin
    if size % EVENT_BYTES:
        raise RecordingError(
            f"{size} bytes after its header, which are no whole number of events of {EVENT_BYTES} bytes"
        )
    addresses, microseconds = np.frombuffer(content, ">i4", offset=begin).reshape(-1, 2).T.astype(np.int64)
    of_others = (addresses < 0) | (addresses > LARGEST_ADDRESS)
    if of_others.any():
        address = int(addresses[of_others][0]) % 2**32
        raise RecordingError(
            f"the address {address:#010x}, which a DVS128 does not have",
            "Export its events as CSV, and read them with data.name events_file.",
        )
    events = addresses & EXTERNAL == 0
    addresses = addresses[events]
    return Recording(microseconds[events], addresses >> 1 & 0x7F, addresses >> 8 & 0x7F, addresses & 1)


def _version_3(content: bytes) -> Recording:
    header = END.search(content)
    if header is None:
        raise RecordingError("a header without its last line, #!END-HEADER")
    kind = FORMAT.search(content, 0, header.start())
    if kind and kind[1] != b"RAW":
        raise RecordingError(
            f"packets in the format {kind[1].decode(errors='replace')}", "Write them in the format RAW."
        )
    begin, words, times = header.end(), [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    while begin < len(content):
        left = len(content) - begin - HEAD.size
        if left < 0:
            raise RecordingError(f"{left + HEAD.size} bytes at its end, where the head of a packet has {HEAD.size}")
        kind_of_events, _, size, _, above, _, count, _ = HEAD.unpack_from(content, begin)
        is_polarity = kind_of_events == POLARITY
        if size < 1 or count < 0 or above < 0 or (is_polarity and size != EVENT_BYTES) or size * count > left:
            raise RecordingError(
                f"a packet that says to have {count} events of {size} bytes, before the last {left} bytes"
            )
        begin += HEAD.size
        if is_polarity:
            packet = np.frombuffer(content, "<u4", 2 * count, begin).reshape(-1, 2)
            words.append(packet[:, 0])
            times.append(packet[:, 1].astype(np.int64) + (above << 31))
        begin += size * count
    word, microseconds = np.concatenate(words), np.concatenate(times)
    valid = word & 1 == 1
    word = word[valid]
    return Recording(microseconds[valid], word >> 17, word >> 2 & 0x7FFF, word >> 1 & 1)
