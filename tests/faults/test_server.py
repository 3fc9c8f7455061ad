"""A tracking server that is unreachable, fails, is slow or loses answers: every row arrives once, and the weights are the same."""

import time

import pytest
from harness import COMPARE, check_same, epochs_in, wait_for
from proxy import KINDS, proxy_of

STUDY = {"models": ("none",), "seeds": 2, "epochs": 6}
SHARES = {"500": 0.1, "slow": 0.1, "reset": 0.1, "lose": 0.1}
AWAY_SECONDS = (5, 60)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_row_arrives_once_from_a_server_with_faults(place, server, undisturbed, tally, kind):
    mlflow_store = place.folder / "mlflow.db"
    place.study(**STUDY)
    with proxy_of(server, seed=7) as (proxy, address):
        place.environment["MLFLOW_TRACKING_URI"] = address
        running = place.start(*COMPARE, "--workers", "1")
        wait_for(lambda: epochs_in(mlflow_store) or running.ended(), "an epoch")
        if kind == "away":
            for number, seconds in enumerate(AWAY_SECONDS, 1):
                wait_for(lambda number=number: epochs_in(mlflow_store) > number or running.ended(), "more epochs")
                with tally.fault():
                    proxy.set("away")
                    time.sleep(seconds)
                    proxy.set("")
        else:
            proxy.set(kind, SHARES[kind])
        running.end().check()
        proxy.set("")
        assert proxy.injected
        if kind != "away":
            tally.add(faults=proxy.injected, survived=proxy.injected)
    check_same(tally, mlflow_store, undisturbed(**STUDY), server)
