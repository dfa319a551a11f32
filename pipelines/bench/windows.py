"""Computes windows over the events of keys with pandas. Argument: a job's file. Prints the seconds as JSON."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(job["folder"])
    frame = pd.DataFrame({name: np.fromfile(folder / f"{name}.f64", dtype=np.float64) for name in job["columns"]})
    frame["at"] = pd.to_datetime(frame["at"].astype("int64"), unit="ms")
    started, before = time.perf_counter(), time.process_time()
    found = features(frame, job["entities"], job["days"])
    seconds, cpu = time.perf_counter() - started, time.process_time() - before
    for number, column in enumerate(found):
        column.astype(np.float64).tofile(folder / f"found{number}.f64")
    print(json.dumps({"seconds": seconds, "cpuSeconds": cpu}))


def features(frame, entities, days):
    """By entity and window: count, sum, mean, share of frauds, smoothed share, over the events before the row's own."""
    columns = []
    for entity in entities:
        # A rolling window of a group gives its rows group by group; within one they stay in their order.
        order = np.argsort(frame[entity].to_numpy(), kind="stable")
        groups = frame.set_index("at").groupby(entity, sort=True)
        for length in days:
            amounts = groups["amount"].rolling(f"{length}D", closed="neither")
            frauds = groups["fraud"].rolling(f"{length}D", closed="neither")
            count = amounts.count().to_numpy()
            total = np.nan_to_num(amounts.sum().to_numpy())
            fraud = np.nan_to_num(frauds.sum().to_numpy())
            some = np.maximum(count, 1)
            for values in (count, total / 100, total / some / 100, fraud / some, (fraud + 0.1) / (count + 10)):
                column = np.empty(len(frame))
                column[order] = values
                columns.append(column)
    return columns


if __name__ == "__main__":
    main()
