import pytest

from pipeline import console
from pipeline.console import Meter, duration


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (40, "40 s"), (89, "89 s"), (720, "12 min"), (11100, "3 h 05 min")]
)
def test_a_duration_is_said_in_words(seconds, words):
    assert duration(seconds) == words


def test_the_time_left_follows_what_the_epochs_really_took():
    meter = Meter({"a": 2, "b": 4}, {"a": 10, "b": 5}, workers=2)
    assert meter.seconds_left == (2 * 10 + 4 * 5) / 2
    meter.advance("b", 7, "an epoch")
    assert meter.seconds_left == (2 * 10 + 3 * 7) / 2
    meter.end("a")
    assert meter.seconds_left == 3 * 7 / 2


def test_what_a_run_takes_beside_its_epochs_is_left_until_it_ends():
    meter = Meter({"a": 2, "b": 4}, {"a": 10, "b": 5}, workers=2, beside=3)
    assert meter.seconds_left == (2 * 10 + 3 + 4 * 5 + 3) / 2
    for _ in range(2):
        meter.advance("a", 10, "an epoch")
    assert meter.seconds_left == (3 + 4 * 5 + 3) / 2
    meter.end("a")
    meter.end("a")
    assert meter.seconds_left == (4 * 5 + 3) / 2


def test_a_table_aligns_numbers_right_and_prints_brackets(capsys):
    console.show(("name", "parameters", "code"), [("table", "25,088", "W[t]"), ("sines", "0", "[sin, cos]")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines == [" name   parameters  code", " table      25,088  W[t]", " sines           0  [sin, cos]"]


@pytest.mark.parametrize(("options", "unit"), [({}, "epochs"), ({"unit": "rounds"}, "rounds")])
def test_lines_come_seldom_where_there_is_no_terminal(capsys, monkeypatch, options, unit):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with Meter({"a": 9}, {"a": 1}, workers=1, **options) as meter:
        for now[0] in (1.0, 2.0, 16.0, 17.0):
            meter.advance("a", 1, "brought something")
    assert capsys.readouterr().out == f"3/9 {unit}, 6 s left; brought something\n"


def test_a_narrow_table_cuts_nothing(capsys, monkeypatch):
    monkeypatch.setattr(console.console, "width", 40)
    row = ("position_and_gap", "model.embedding.time_input", "W[t] + V[dt], any sum of two functions", "25,088")
    console.show(("name", "setting", "code", "parameters"), [row])
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert row[0] in shown
