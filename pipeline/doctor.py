"""The encoding doctor: statistics of the event times of a data set, and which encodings can represent them, before any training.

Letters: N events, n sequences, T sampled events, G gaps, D width of the code.
"""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.doctor import NOTHING, Times, advise, doctor_page, fitting_scale, lines, scales, verdict
from analysis.schema import ADVICE
from analysis.wording import plural
from models.cards import CONSTANT, HORIZON, effective_rank, initial, last_codes, rank_on_grid
from models.config import ModelError
from models.time_embeddings import (
    TIME_EMBEDDINGS,
    OwnEmbeddingConfig,
    PointwiseEmbedding,
    TimeEmbedding,
    TimeEmbeddingConfig,
)
from models.time_embeddings.none import NoTime
from models.time_embeddings.order import Order
from pipeline.config import RunConfig, digest_of
from pipeline.console import phase, say, show
from pipeline.data import DataError
from pipeline.data.base import DatasetConfig, Splits
from pipeline.data.events_file import EventsFileConfig
from pipeline.data.units import UNITS
from pipeline.output import check_writable, put_all
from pipeline.seeding import seed_for
from pipeline.study import name_of

MOST_EVENTS = 2_000_000
"""Most events that are examined; of a larger data set, a sample of the sequences is examined."""
CODED, MOVED, RESCALED = 5_000, 500, 2_000
"""Most events whose codes are computed: for an effective rank, for the smallest gap told apart, and for each unit."""
APART = 0.1
"""Two times count as told apart from this share of the distance of two unrelated codes on, as in the encoding microscope."""
RAW = ("sincos", "lete")
"""The encodings of raw times with which units are compared."""
SHOWN_UNITS = (0.1, 1e5)
"""Range of the late time, in a unit, within which that unit is compared."""


@dataclass(frozen=True)
class Read:
    """The times that were read from a data set."""

    times: Times
    units: Mapping[str, float]
    """The units in which the times can be expressed, each with the factor that converts the times to it; empty for plain numbers."""
    sampled: tuple[str, ...]
    """Sentences about the sample that was examined; empty if everything was."""
    notes: tuple[str, ...]
    """Conversions that were made while reading."""


def examine(config: RunConfig, output: Path) -> None:
    """Print what the times of a data set allow, and write the page into `output`."""
    check_writable(output)
    name = Path(config.data.path).name if isinstance(config.data, EventsFileConfig) else config.data.name
    phase("reading the times")
    read = read_times(config.data)
    times = read.times
    phase(f"encoding them in {len(TIME_EMBEDDINGS)} ways")
    encodings = measure(times, {name: kind() for name, kind in TIME_EMBEDDINGS.items()})
    curve = by_unit(times, read.units)
    advice = advise(times, encodings, read.units, curve)
    sampled = (*read.sampled, *_drawn(times))
    for what, said in lines(times):
        say(f"{what}: {said}")
    for note in (*sampled, *read.notes):
        say(f"note: {note}")
    say()
    shown = advice.encodings[["name", "verdict", "rank", "reference", "resolved"]]
    rows = [
        (one, verdict, *("" if np.isnan(number) else f"{number:.3g}" for number in numbers))
        for one, verdict, *numbers in shown.itertuples(index=False)
    ]
    columns = ("encoding", "verdict", "effective rank", "on 0 to 783", f"told apart from ({times.unit})")
    show(columns, rows, title="before training, at these times")
    say()
    refused = advice.encodings[advice.encodings["refused"] != ""]
    for one, reason in zip(refused["name"], refused["refused"], strict=True):
        say(f"Refused. {one}: {reason}")
    for said in advice.minded.values():
        say(f"Mind. {said}")
    say(f"Unit. {advice.unit}")
    default = config.train.frequency_rate
    own = " as it is by default" if advice.rate == default else f" (by default {default:g})"
    say(f"Rate. --train.frequency_rate {advice.rate:g}{'' if advice.scale.factor == 1 else ' in that unit'}{own}.")
    for one, why in advice.shortlist.items():
        say(f"Worth a training: {one}, {why}.")
    if len(advice.shortlist) > 1 and not times.collisions:
        unit = next((one for one, factor in read.units.items() if factor == advice.scale.factor != 1), None)
        others: dict[str, object] = {"data.time_unit": unit} if unit else {}
        if advice.rate != default and (unit or advice.scale.factor == 1):
            others["train.frequency_rate"] = advice.rate
        say(f"Next: {_command(config.data, list(advice.shortlist), others)}")
    place = f"{name_of(Path(name))}.html"
    with TemporaryDirectory() as scratch:
        text = doctor_page(name, times, advice, curve, sampled=sampled, notes=read.notes)
        (Path(scratch) / place).write_text(text, encoding="utf-8")
        put_all(Path(scratch), output)
    say(f"page: {output / place}")


def _command(data: DatasetConfig, models: Sequence[str], others: Mapping[str, object]) -> str:
    """Return the command that trains these encodings on the data, with every setting that differs from its default."""
    given = {"name": data.name, **data.model_dump(mode="json", exclude_defaults=True)}
    texts = {f"data.{name}": value for name, value in given.items()} | dict(others)
    flags = [
        part
        for name, value in {**texts, "models": models, "seeds": [0, 1, 2]}.items()
        for part in (f"--{name}", ",".join(map(_text, value)) if isinstance(value, list) else _text(value))
    ]
    return shlex.join(["python", "-m", "pipeline", "main", *flags])


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def read_times(config: DatasetConfig) -> Read:
    """Return the times of a data set, those of a file before they are rounded to float32; DataError if it cannot be read."""
    if isinstance(config, EventsFileConfig):
        return _of_file(config)
    return _of_splits(config.load())


def _of_splits(splits: Splits) -> Read:
    parts = [part for part in (splits.train, splits.validation, splits.test) if len(part)]
    values = np.concatenate([part.times.numpy() for part in parts]).astype(np.float64)
    offsets = np.cumsum([0, *np.concatenate([part.lengths.numpy() for part in parts])])
    names = [str(place) for place in range(len(offsets) - 1)]
    chosen, sampled = _sample(offsets)
    times_N, offsets = _gathered(values, offsets, chosen)
    known = Times(
        times=times_N,
        gaps=_with_gaps(np.diff(times_N, prepend=times_N[:1]), offsets),
        offsets=offsets,
        names=[names[place] for place in chosen],
        unit=splits.train.time_unit,
        horizon=splits.train.horizon,
        collisions=0,  # these times are float32 or whole numbers already, so nothing was rounded
    )
    return Read(known, {}, sampled, splits.notes)


def _of_file(config: EventsFileConfig) -> Read:
    with TemporaryDirectory() as scratch:
        elapsed, ids = config.elapsed(Path(scratch))
        elapsed.check_largest()
        collisions = elapsed.collisions()
        chosen, sampled = _sample(elapsed.offsets)
        ticks_N, offsets = _gathered(elapsed.ticks, elapsed.offsets, chosen, config.max_events)
    clock, starts_N = elapsed.clock, np.repeat(elapsed.starts[chosen], np.diff(offsets))
    unit = clock.unit
    times = Times(
        times=clock.units(ticks_N - starts_N).astype(np.float64),
        gaps=_with_gaps(clock.units(np.diff(ticks_N, prepend=ticks_N[:1])), offsets),
        offsets=offsets,
        names=[str(ids[place]) for place in chosen],
        unit=unit or config.time_unit,
        horizon=config.horizon_of(elapsed.largest),
        collisions=collisions,
    )
    units = {name: UNITS[unit] / length for name, length in UNITS.items()} if unit else {}
    return Read(times, units, sampled, tuple(elapsed.notes))


def _sample(offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the sequences to examine, in their order, and a sentence about the sample unless it is all of them."""
    count, events = len(offsets) - 1, int(offsets[-1])
    if not events:
        raise DataError("data: must have events, got none. Lower data.threshold, or give other data.")
    if events <= MOST_EVENTS:
        return np.arange(count), ()
    order = np.random.default_rng(seed_for(0, "doctor", "sequences")).permutation(count)
    ends = np.cumsum(np.diff(offsets)[order])
    taken = max(1, int(np.searchsorted(ends, MOST_EVENTS, side="right")))
    said = (
        f"Sample: {plural(taken, 'sequence')} of {count:,}, with {ends[taken - 1]:,} of {events:,} events, drawn by chance (stream "
        "doctor/sequences of seed 0). What is rare may be missing from it."
    )
    return np.sort(order[:taken]), (said,)


def _drawn(times: Times) -> Iterator[str]:
    """Yield a sentence about the number of events whose codes were computed, if it is not all of them."""
    if len(times.times) > CODED:
        yield (
            f"Effective ranks are those of {CODED:,} events, and gaps told apart of {MOVED:,}, drawn by chance (streams doctor/coded "
            "and doctor/moved of seed 0)."
        )


def _gathered(
    values: NDArray[Any], offsets: NDArray[np.int64], chosen: NDArray[np.int64], most: int | None = None
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the values of the sequences `chosen`, concatenated, and their offsets; at most the first `most` of each sequence."""
    lengths = np.diff(offsets)[chosen]
    lengths = lengths if most is None else lengths.clip(max=most)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    events = np.repeat(offsets[:-1][chosen] - ends[:-1], lengths) + np.arange(ends[-1])
    return np.asarray(values[events]), ends


def _with_gaps(differences_N: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return differences (N,) to the previous event with NaN for the first event of each sequence."""
    gaps = differences_N.astype(np.float64)
    gaps[offsets[:-1][np.diff(offsets) > 0]] = np.nan
    return gaps


def measure(times: Times, encodings: Mapping[str, TimeEmbeddingConfig]) -> pd.DataFrame:
    """Return a table with one row per embedding, as `analysis.doctor.advise` takes it."""
    times_N = torch.from_numpy(times.times).float()
    first_N = torch.from_numpy(np.isnan(times.gaps))
    before_N = torch.where(first_N, times_N, times_N.roll(1))
    coded_T = _draw("coded", torch.arange(len(times_N)), CODED)
    moved_T = _draw("moved", (~first_N).nonzero()[:, 0], MOVED)
    steps_G = torch.tensor(sorted(set(times.gap_quantiles().values())), dtype=torch.float64)
    rows = []
    for name, config in encodings.items():
        row: dict[str, Any] = {"name": name, "refused": "", "sees": "", "table": False, "trained": 0}
        row |= dict.fromkeys(("rank", "reference", "resolved"), float("nan"))
        rows.append(row)
        try:
            row["reference"] = rank_on_grid(initial(config, HORIZON))
            embedding = initial(config, times.horizon)
            row["sees"] = _seen(embedding)
            row["table"] = any(isinstance(part, torch.nn.Embedding) for part in embedding.modules())
            row["trained"] = sum(part.numel() for part in embedding.parameters() if part.requires_grad)
            embedding.check(times_N, times_N - before_N)
            if row["sees"] == NOTHING:
                row["rank"] = 0.0
                continue
            codes_TD = _codes(embedding, before_N[coded_T], times_N[coded_T], first_N[coded_T])
            row["rank"] = effective_rank(codes_TD)
            row["resolved"] = _resolved(
                embedding,
                before_N[moved_T],
                times_N[moved_T],
                steps_G=steps_G,
                spread_D=codes_TD.std(dim=0, correction=0),
                horizon=times.horizon,
            )
        except (ModelError, FloatingPointError) as error:
            row["refused"] = str(error).removeprefix("model.embedding: ")
    return pd.DataFrame(rows)


def by_unit(times: Times, units: Mapping[str, float]) -> pd.DataFrame:
    """Return the effective rank of the encodings of raw times in each unit that could be chosen; no rows if the time is constant."""
    rows: list[dict[str, Any]] = []
    low, high = SHOWN_UNITS
    choices = scales(times, units)
    needed = (1.0, fitting_scale(times, choices).factor)
    near = [one.factor for one in choices if low <= times.late * one.factor <= high or one.factor in needed]
    for name in RAW if times.late and not times.is_constant else ():
        embedding = initial(TIME_EMBEDDINGS[name](), times.horizon)
        drawn = _draw("rescaled", torch.arange(len(times.times)), RESCALED)
        times_T = torch.from_numpy(times.times)[drawn]
        for factor in near:
            scaled_T = (times_T * factor).float()
            codes_TD = last_codes(embedding, scaled_T[:, None], torch.ones(len(scaled_T), dtype=torch.long))
            rows.append({"name": name, "factor": factor, "rank": effective_rank(codes_TD)})
    return pd.DataFrame(rows, columns=["name", "factor", "rank"])


def _draw(stream: str, events: Tensor, most: int) -> Tensor:
    """Return at most `most` of the events, drawn at random, in their order."""
    if len(events) <= most:
        return events
    generator = np.random.default_rng(seed_for(0, "doctor", stream))
    return events[torch.from_numpy(np.sort(generator.choice(len(events), most, replace=False)))]


def _seen(embedding: TimeEmbedding) -> str:
    if isinstance(embedding, NoTime | Order):
        return NOTHING
    if getattr(embedding, "time_input", "") == "gap":
        return "gap"
    return "time" if isinstance(embedding, PointwiseEmbedding) else "time and gap"


def _codes(embedding: TimeEmbedding, before_T: Tensor, times_T: Tensor, first_T: Tensor) -> Tensor:
    """Return the codes (T, D) of events at `times_T`, each preceded by an event at `before_T` unless it is the first one.

    FloatingPointError if a code is not finite.
    """
    lengths_T = torch.where(first_T, 1, 2)
    codes_TD = last_codes(embedding, torch.stack([before_T, times_T], dim=1), lengths_T)
    if not codes_TD.isfinite().all():
        raise FloatingPointError("codes must be finite, got NaN or infinity. Give times in another unit.")
    return codes_TD


def _resolved(
    embedding: TimeEmbedding, before_T: Tensor, times_T: Tensor, *, steps_G: Tensor, spread_D: Tensor, horizon: float
) -> float:
    """Return the smallest of the gaps (G,) by which an event must come later for its code to be told apart; NaN if none suffices."""
    kept_D = spread_D > CONSTANT
    if not len(times_T) or not kept_D.any():
        return float("nan")
    none_first_T = torch.zeros(len(times_T), dtype=torch.bool)
    codes_TD = _codes(embedding, before_T, times_T, none_first_T)[:, kept_D]
    unrelated = (2 * int(kept_D.sum())) ** 0.5
    for step in steps_G.tolist():
        later_T = times_T + step
        room_T = later_T < horizon
        if not room_T.any():
            break
        moved_TD = _codes(embedding, before_T[room_T], later_T[room_T], none_first_T[room_T])[:, kept_D]
        distance_T = ((moved_TD - codes_TD[room_T]) / spread_D[kept_D]).norm(dim=1) / unrelated
        if distance_T.median().item() >= APART:
            return float(step)
    return float("nan")


def advice_on(variants: Mapping[str, RunConfig]) -> pd.DataFrame:
    """Return the verdict on the encoding of each variant, at the variant's settings; no rows if no advice is given.

    No advice is given on a class that the user handed over, because its code may do anything, and none if all variants have the
    same encoding, if they have different data, or if the data have no events.
    """
    listed = {
        name: config for name, config in variants.items() if not isinstance(config.model.embedding, OwnEmbeddingConfig)
    }
    data = {config.data for config in listed.values()}
    if len({config.model.embedding for config in listed.values()}) < 2 or len(data) > 1:  # noqa: PLR2004 - for a pair
        return pd.DataFrame(columns=list(ADVICE))
    splits = data.pop().load()
    if not any(int(part.lengths.sum()) for part in (splits.train, splits.validation, splits.test) if len(part)):
        return pd.DataFrame(columns=list(ADVICE))
    times = _of_splits(splits).times
    measured = measure(times, {name: config.model.embedding for name, config in listed.items()})
    judged = measured.assign(
        model=measured["name"],
        besides=[_besides(config) for config in listed.values()],
        verdict=[verdict(row, times) for _, row in measured.iterrows()],
        median_gap=times.median_gap,
        unit=times.unit,
    )
    return judged[list(ADVICE)]


def _besides(config: RunConfig) -> str:
    """Return a digest of the settings of a model and its training without those of the encoding."""
    rest = config.model_dump(mode="json", exclude={"seed": True, "data": True, "model": {"embedding": True}})
    return digest_of(rest)[:12]
