"""Ratings of films: the sex of a user, to be predicted from the times of the user's ratings in the first hour.

Source: MovieLens 100K of GroupLens (Harper and Konstan 2015, doi 10.1145/2827872), as contained in the Python package recbole. Its
terms allow research but no redistribution, so the data are not part of this repository.

- A sequence is a user; an event is a rating in the hour after the user's first rating.
- It is a candidate for a negative control: nothing suggests that times in seconds are more informative than the number of ratings.
"""

from io import BytesIO
from pathlib import Path
from typing import Literal

import pandas as pd

from pipeline.data.packages import Package, PackagedConfig

STEP_SECONDS = 5
HOUR = 3600


class RatingsConfig(PackagedConfig):
    """Ratings of MovieLens 100K: when a user rates in the first hour, by the sex that the user gave; 2 classes."""

    package = Package(
        "recbole",
        "1.2.1",
        "recbole-1.2.1-py3-none-any.whl",
        "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    )
    time_unit = "5 s"
    horizon = HOUR // STEP_SECONDS
    name: Literal["ratings"] = "ratings"

    def events(self, folder: Path) -> pd.DataFrame:
        """Return the ratings of the first hour of each user."""
        [rated] = self.package.members(folder, r"/ml-100k\.inter").values()
        [known] = self.package.members(folder, r"/ml-100k\.user").values()
        table = pd.read_csv(BytesIO(rated), sep="\t", usecols=["user_id:token", "timestamp:float"])
        table.columns = pd.Index(["sequence", "at"])
        users = pd.read_csv(BytesIO(known), sep="\t", index_col="user_id:token")["gender:token"]
        since = table["at"] - table.groupby("sequence")["at"].transform("min")
        table = table.assign(time=since // STEP_SECONDS, label=table["sequence"].map(users), group=table["sequence"])
        return table.loc[since < HOUR, ["sequence", "time", "label", "group"]]
