"""The encoding doctor on files: one that is well, a hostile one, normalised times, and those that are refused."""

import importlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from analysis import run_analyses
from analysis.doctor import advise
from models.cards import CONSTANT, card, initial
from models.time_embeddings import TIME_EMBEDDINGS
from models.time_embeddings.own import OwnPointwiseConfig
from pipeline import doctor
from pipeline.__main__ import main
from pipeline.comparison import compare
from pipeline.data import DataError
from pipeline.settings import build_run
from pipeline.stored_study import find_study, load_results
from pipeline.study import load_study
from pipeline.tracking import SEALED


def frame_of(sequences):
    parts = [pd.DataFrame({"id": i, "time": times, "label": "ab"[i % 2]}) for i, times in enumerate(sequences)]
    return pd.concat(parts, ignore_index=True)


def read(path, **settings):
    settings = {f"data.{name}": value for name, value in settings.items()}
    return doctor.read_times(build_run({"data.name": "events_file", "data.path": str(path), **settings}).data)


def spread(sequences=40, events=40, end=600):
    """Return ascending whole times that spread over the axis, other ones in each sequence."""
    generator = np.random.default_rng(0)
    return [np.sort(generator.choice(end, events, replace=False)) for _ in range(sequences)]


def hostile():
    """Return epoch milliseconds with ties and small gaps, and in sequence 7 a gap of five years before the last six."""
    times = [1_700_000_000_000 + i + np.cumsum([0, 1, 0, 2, 0, 1] * 6) for i in range(30)]
    times[7] = times[7] + np.where(np.arange(36) >= 30, 5 * 365 * 86_400_000, 0)
    return times


def examined(capsys, path, *settings):
    """Return what the verb says, by the beginning of its lines, and its page."""
    assert main(["doctor", str(path), *settings]) == 0
    said = capsys.readouterr().out
    [page] = re.findall(r"^page: (.*)$", said, re.MULTILINE)
    return said, Path(page).read_text(encoding="utf-8")


def verdicts(said):
    return dict(re.findall(r"^ ([a-z]\w+) +(fits|blurs|collapsed|constant|refused)\b", said, re.MULTILINE))


@pytest.mark.usefixtures("workplace")
def test_of_times_that_are_well_nothing_is_minded_and_most_encodings_fit(capsys):
    frame_of(spread()).to_csv("well.csv", index=False)
    said, page = examined(capsys, "well.csv", "--data.validation_size", "6")
    assert "Mind." not in said
    assert "Nothing stands out in these times." in page
    assert "Unit. Keep the unit" in said
    assert "Rate. --train.frequency_rate 0.1 as it is by default.\n" in said
    of = verdicts(said)
    assert list(of) == list(TIME_EMBEDDINGS)
    assert {name: of[name] for name in ("none", "position", "sincos", "lete")} == {
        "none": "constant", "position": "fits", "sincos": "fits", "lete": "fits"
    }  # fmt: skip
    assert re.findall(r"^Worth a training: (\w+)", said, re.MULTILINE)[:2] == ["none", "position"]
    assert not Path("mlflow.db").exists()
    [line] = re.findall("^Next: python -m pipeline main (.*)$", said, re.MULTILINE)
    assert line.startswith(
        "--data.name events_file --data.validation_size 6 --data.path well.csv --models none,position,"
    )
    assert line.endswith(" --seeds 0,1,2")
    assert main(["compare", *line.split(), "--plan"]) == 0  # every name is one that it takes


@pytest.mark.usefixtures("workplace")
def test_of_a_hostile_file_it_says_all_that_is_wrong(capsys):
    frame_of(hostile()).sample(frac=1, random_state=0).to_parquet("hostile.parquet")
    said, page = examined(capsys, "hostile.parquet")
    minded = "\n".join(line for line in said.splitlines() if line.startswith("Mind."))
    for wrong in ("float32", "in sequence 7", "The time axis is 261 week long", "Times are small", "of the gaps are 0"):
        assert wrong in minded
    assert "A training refuses this file" in page
    assert "Unit. Set data.time_unit to ms" in said
    assert "were taken as ms since 1970" in page
    assert "fits" not in verdicts(said).values()
    assert re.findall(r"^Worth a training: (\w+)", said, re.MULTILINE) == ["none"]
    assert "Next: " not in said
    # So it is: what the doctor warns of is what the reader refuses.
    with pytest.raises(DataError, match="must keep its times apart within a sequence"):
        build_run({"data.name": "events_file", "data.path": "hostile.parquet"}).data.load()


@pytest.mark.usefixtures("workplace")
def test_of_normalised_times_it_finds_the_collapse_and_the_unit_that_undoes_it(capsys):
    frame_of(one / 600 for one in spread()).to_parquet("unit.parquet")
    said, _ = examined(capsys, "unit.parquet")
    of = verdicts(said)
    assert {of[name] for name in ("sincos", "sincos_learned", "time2vec", "lete", "graphmixer")} == {"collapsed"}
    assert of["position"] == "refused"
    assert re.search(r"^Refused\. position: .*whole numbers", said, re.MULTILINE)
    assert "Unit. Multiply the times by 100:" in said
    assert "Rate. --train.frequency_rate 0.8 in that unit (by default 0.1)." in said


@pytest.mark.usefixtures("workplace")
def test_a_constant_time_carries_nothing_and_the_page_says_so(capsys):
    frame_of([[5, 5, 5]] * 8).to_csv("constant.csv", index=False)
    said, page = examined(capsys, "constant.csv")
    assert "Time carries nothing: every event has the time 5." in page
    assert verdicts(said)["sincos"] == "constant"
    assert re.findall(r"^Worth a training: (\w+)", said, re.MULTILINE) == ["none"]


@pytest.mark.usefixtures("workplace")
def test_a_data_set_is_looked_at_by_its_name_and_from_a_study_file(capsys):
    said, _ = examined(capsys, "mnist_sample", "--intensities", "true", "--output", "here")
    assert "Next: python -m pipeline main --data.name mnist_sample --data.intensities true --models " in said
    assert "horizon 784" in said
    assert Path("here/mnist_sample.html").is_file()
    frame_of(spread()).rename(columns={"time": "seen"}).to_csv("own.csv", index=False)
    Path("own.json").write_text('{"base": {"data.name": "events_file", "data.path": "own.csv", "time_column": "seen"}}')
    assert main(["doctor", "--config", "own.json", "--max_events", "3"]) == 0
    assert "events of a sequence: least 3" in capsys.readouterr().out


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "doctor: must be followed by a file of events or a data set, got none"),
        (["absent.csv"], "data.path: must be a file, got 'absent.csv', where there is none"),
        (["own.csv", "--time_column", "when"], "own.csv, column when: must be in the file, got only 'id', 'time', 'label'"),
        (["empty.csv"], "empty.csv"),
        (["negative.csv"], "negative.csv, column time: must lie in [0, 16777216] (row 2), got -1"),
        (["broken.parquet"], "broken.parquet: must be a whole .parquet file"),
        (["own.csv", "--data.path", "other.csv"], "data.path: must be given once, got own.csv and other.csv"),
        (["own.csv", "--train.epochs", "3"], "train.epochs: must be a setting of the data"),
        (["own.csv", "--output", "own.csv"], "--output: must be a folder that can be written to, got own.csv"),
        (["--time_column", "when", "own.csv"], "own.csv: must be --name value, got a word alone"),
    ],
    ids=lambda given: "-".join(given) or "nothing" if isinstance(given, list) else "said",
)  # fmt: skip
def test_what_cannot_be_looked_at_is_one_line(capsys, arguments, said):
    frame_of(spread(8, 5)).to_csv("own.csv", index=False)
    Path("empty.csv").write_text("id,time,label\n")
    Path("negative.csv").write_text("id,time,label\n1,0,a\n1,-1,a\n2,3,b\n")
    Path("broken.parquet").write_bytes(b"PAR1")
    before = sorted(Path().iterdir())
    try:
        code = main(["doctor", *arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.startswith(f"error: {said}")
    assert sorted(Path().iterdir()) == before


def test_a_data_set_without_events_is_refused():
    with pytest.raises(DataError, match="data: must have events, got none"):
        doctor._sample(np.array([0, 0, 0]))


def test_a_collision_is_two_times_of_a_sequence_that_float32_makes_one(tmp_path):
    start = 2.0**23  # from here to 2^24 float32 keeps whole numbers alone, and rounds halves to the even one
    far = [
        [start, start + 0.25, start + 1, start + 1.5, start + 2],
        [start, start, start + 2],
        [start + 2.25, start + 4],
    ]
    frame_of(far).to_parquet(tmp_path / "a.parquet")
    times = read(tmp_path / "a.parquet").times
    # 0 and 0.25 are one, 1.5 and 2 are; equal times are a tie, and times of two sequences nothing.
    assert times.collisions == 2
    assert times.ties == pytest.approx(1 / 7)
    # The reader sees the whole file before it cuts sequences.
    assert read(tmp_path / "a.parquet", max_events=1).times.collisions == 2


def test_collisions_and_gaps_are_counted_in_ticks(tmp_path):
    # Two weeks after the first event float32 keeps steps of 2^-22 weeks, 144 ms; the two last events are 10 ms apart.
    week = 7 * 86_400_000
    start = 1_700_000_000_000
    rows = [[start, start + 1, start + 2 * week, start + 2 * week + 10], [start, start + week]]
    frame_of(rows).to_parquet(tmp_path / "a.parquet")
    times = read(tmp_path / "a.parquet", time_unit="week").times
    assert times.collisions == 1
    assert times.gaps[[1, 3]].tolist() == [1 / week, 10 / week]
    assert read(tmp_path / "a.parquet", time_unit="second").times.collisions == 1  # a unit does not help against it


def test_the_times_are_those_that_a_training_is_given(tmp_path):
    frame_of(spread(20, 10)).to_csv(tmp_path / "a.csv", index=False)
    times = read(tmp_path / "a.csv").times
    splits = build_run(
        {"data.name": "events_file", "data.path": str(tmp_path / "a.csv"), "data.validation_size": 4}
    ).data.load()
    given = torch.cat([part.times for part in (splits.train, splits.validation, splits.test)])
    assert sorted(given.tolist()) == sorted(times.times)
    assert times.horizon == splits.train.horizon


def test_of_many_events_a_named_sample_of_sequences_is_read(tmp_path, monkeypatch):
    frame_of(spread(40, 10)).to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr(doctor, "MOST_EVENTS", 105)
    first, again = read(tmp_path / "a.csv"), read(tmp_path / "a.csv")
    assert first.times.lengths.tolist() == [10] * 10
    assert first.times.names == again.times.names
    assert (
        "Sample: 10 sequences of 40, with 100 of 400 events, drawn by chance (stream doctor/sequences of"
        in first.sampled[0]
    )
    whole = frame_of(spread(40, 10))
    for place, name in enumerate(first.times.names):
        taken = slice(*first.times.offsets[place : place + 2])
        assert first.times.times[taken].tolist() == whole["time"][whole["id"] == int(name)].tolist()


def test_a_large_file_is_read_the_same(tmp_path, monkeypatch):
    frame_of(hostile()).to_parquet(tmp_path / "a.parquet")
    small = read(tmp_path / "a.parquet").times
    monkeypatch.setattr("pipeline.data.events_file.LARGE_BYTES", 0)
    large = read(tmp_path / "a.parquet").times
    assert np.array_equal(small.times, large.times)
    assert small.collisions == large.collisions > 0


def test_the_rank_of_the_whole_times_0_to_783_is_that_of_the_card(tmp_path):
    frame_of([np.arange(784)] * 2).to_csv(tmp_path / "a.csv", index=False)
    times = read(tmp_path / "a.csv").times
    rows = doctor.measure(times, {name: kind() for name, kind in TIME_EMBEDDINGS.items()}).set_index("name")
    for name in ("sincos", "lete", "position", "none"):
        assert rows["rank"][name] == pytest.approx(card(name).effective_rank, rel=1e-3), name
    assert rows["reference"]["sincos"] == pytest.approx(10.9, abs=0.05)  # docs/models.md
    assert dict(rows["sees"][["none", "sincos", "lete_gap", "kmote", "kan_mammote"]]) == {
        "none": "nothing", "sincos": "time", "lete_gap": "gap", "kmote": "time and gap", "kan_mammote": "time and gap"
    }  # fmt: skip


def test_the_gap_that_is_told_apart_is_the_least_that_moves_a_code_by_a_tenth():
    """Of scalar, t/T, standardised: a gap g moves it by g/s, and two unrelated codes of any width are sqrt(2) s apart a column."""
    times = torch.arange(1000, dtype=torch.float32)
    spread_D = torch.full((32,), float((times / 1000).std(correction=0)))  # s = 288.7/1000
    told = doctor._resolved(
        initial(TIME_EMBEDDINGS["scalar"](), 1000.0),
        times[:500],
        times[:500] + 1,
        steps_G=torch.tensor([1.0, 40.0, 41.0, 100.0], dtype=torch.float64),
        spread_D=spread_D,
        horizon=1000.0,
    )
    assert pytest.approx(40.83, abs=0.01) == 0.1 * 2**0.5 * 288.7
    assert told == 41


@pytest.mark.parametrize("name", ["fte", "bochner", "time2vec", "lete", "kmote_fourier"])
def test_rounding_moves_no_code_by_a_twentieth_of_what_counts_as_told_apart(name):
    times = torch.linspace(0, 999.9, 501)
    before, alone = times - 0.25 * (times > 0), times == 0
    rounded = doctor._codes(initial(TIME_EMBEDDINGS[name](), 1000.0), before, times, alone)
    exact = doctor._codes(initial(TIME_EMBEDDINGS[name](), 1000.0).double(), before.double(), times.double(), alone)
    spread = exact.std(dim=0, correction=0)
    kept = spread > CONSTANT
    distance = ((rounded - exact)[:, kept] / spread[kept]).norm(dim=1) / (2 * int(kept.sum())) ** 0.5
    assert 0 < distance.median() < doctor.APART / 20


# ------------------------------------------------------------------------------------------------ advice on a study

SMALL = {"data.name": "mnist_sample", "model.hidden_dim": 8, "train.batch_size": 64, "train.epochs": 1}


def variants(*names, **settings):
    return {name: build_run({**SMALL, "model.embedding.name": name, **settings}) for name in names}


def test_a_study_is_told_what_the_doctor_says_of_its_data():
    told = doctor.advice_on(variants("scalar", "sincos", "lete", "none")).set_index("model")
    read = doctor.read_times(build_run(SMALL).data)
    every = doctor.measure(read.times, {name: kind() for name, kind in TIME_EMBEDDINGS.items()})
    said = advise(read.times, every, {}, pd.DataFrame()).encodings.set_index("name")
    columns = ["verdict", "rank", "reference", "resolved"]
    assert told[columns].equals(said.loc[told.index, columns].rename_axis("model"))
    assert told["verdict"].to_dict() == {"scalar": "blurs", "sincos": "fits", "lete": "fits", "none": "constant"}
    assert set(told["median_gap"]) == {read.times.median_gap}


def test_the_settings_of_an_encoding_count():
    unit = variants("sincos", **{"model.embedding.time_scale": "unit"})["sincos"]
    told = doctor.advice_on({**variants("sincos"), "of t/T": unit}).set_index("model")
    assert told["verdict"].to_dict() == {"sincos": "fits", "of t/T": "blurs"}


def test_sequences_of_one_event_do_not_blur():
    single = {"data.name": "synthetic", "data.longest": 1, "data.validation_size": 16, "data.train_size": 64}
    told = doctor.advice_on(variants("none", "sincos", "lete", **single)).set_index("model")
    assert told["verdict"].to_dict() == {"none": "constant", "sincos": "fits", "lete": "fits"}
    assert told["median_gap"].isna().all()


def test_models_that_differ_in_more_than_the_encoding_are_told_from_others():
    wide = variants("lete", **{"model.hidden_dim": 16})["lete"]
    told = doctor.advice_on({**variants("scalar", "sincos"), "wide": wide}).set_index("model")["besides"]
    assert told["scalar"] == told["sincos"] != told["wide"]


def own_class():
    [config] = variants("sincos").values()
    own = OwnPointwiseConfig(source="raise SystemExit", kind="Own")  # which must not be run
    return {"own": config.model_copy(update={"model": config.model.model_copy(update={"embedding": own})})}


@pytest.mark.parametrize(
    "configs",
    [
        variants("sincos"),
        {**variants("sincos"), "wide": variants("sincos", **{"model.hidden_dim": 16})["sincos"]},
        {**variants("sincos"), **own_class()},
        {**variants("sincos"), **variants("scalar", **{"data.train_size": 50})},
    ],
    ids=["one", "one encoding", "a class of somebody's", "different data"],
)
def test_no_advice_is_given_where_there_is_nothing_to_choose_or_to_judge(configs):
    assert doctor.advice_on(configs).empty


def test_no_advice_is_given_on_data_without_events(monkeypatch):
    configs = variants("sincos", "scalar")
    splits = configs["sincos"].data.load()
    bare = {part: getattr(splits, part).truncate(0) for part in ("train", "validation", "test")}
    monkeypatch.setattr(type(configs["sincos"].data), "load", lambda _: replace(splits, **bare))
    assert doctor.advice_on(configs).empty


def asked(models=("scalar", "sincos"), seeds=(0, 1, 2)):
    return load_study(None, models=models, seeds=list(seeds), overrides=SMALL)


def test_the_advice_is_stored_before_the_first_training_and_scored_afterwards(memory, monkeypatch):
    comparison = importlib.import_module("pipeline.comparison")
    seen = []

    def nothing(*_):
        (parent,) = memory.find(kind="study")
        seen.append(memory.fetch(parent.id, "advice.json").read_text())
        return iter(())

    with monkeypatch.context() as patched:
        patched.setattr(comparison, "train_cells", nothing)
        parent = compare(asked(), memory, workers=1, device="cpu")
    monkeypatch.setattr(doctor, "advice_on", None)  # a later call asks nobody
    assert compare(asked(), memory, workers=1, device="cpu") == parent
    assert [memory.fetch(parent, "advice.json").read_text()] == seen
    results = load_results(find_study(memory), memory, allow_missing=False, probes=False)
    [found] = run_analyses(results, ["advice"])
    assert found.data["pairs"] == 1
    [row] = found.tables["advice"].to_dict("records")
    assert (row["model_a"], row["model_b"]) == ("sincos", "scalar")


def test_a_study_from_before_the_advice_was_stored_is_analysed_without_it(memory):
    parent = compare(asked(), memory, workers=1, device="cpu")
    memory.fetch(parent, "advice.json").unlink()
    del memory.get(parent).tags[SEALED + "advice.json"]
    assert compare(asked(seeds=(0, 1, 2, 3)), memory, workers=1, device="cpu") == parent
    results = load_results(find_study(memory), memory, allow_missing=False, probes=False)
    assert results.advice is None
    assert "advice" not in [finding.name for finding in run_analyses(results)]
