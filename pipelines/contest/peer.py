"""Runs one job of the contest with a library from PyPI. Argument: the job's file. Prints the outcome as JSON."""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    # The import happens here, so that neither its time nor its memory counts as fitting.
    fit = RUNNERS[job["task"], job["contestant"]](job["params"], job["threads"])
    x, y = read_part(job, job["fit"])
    later, _ = read_part(job, job["score"])
    before = resident_mb()
    score, fit_seconds, fit_cpu = timed(lambda: fit(x, y))
    scores, score_seconds, score_cpu = timed(lambda: score(later))
    np.asarray(scores, dtype=np.float32).tofile(job["scores"])
    peak = peak_mb()
    print(json.dumps({
        "fitSeconds": fit_seconds, "fitCpuSeconds": fit_cpu,
        "scoreSeconds": score_seconds, "scoreCpuSeconds": score_cpu,
        "peakMb": peak, "addedMb": peak - before,
    }))


def read_part(job, part):
    folder = Path(job["folder"])
    x = np.fromfile(folder / f"{part}.x", dtype=np.float32).reshape(-1, job["features"])
    return x, np.fromfile(folder / f"{part}.y", dtype=np.uint8)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak_mb() -> float:
    # Not ru_maxrss, because a child's begins with the memory its parent held when it forked.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def timed(work):
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def xgboost(p, threads):
    import xgboost as xgb

    def fit(x, y):
        data = xgb.QuantileDMatrix(x, y, max_bin=256, nthread=threads)
        model = xgb.train({
            "objective": "binary:logistic", "tree_method": "hist", "max_bin": 256,
            "nthread": threads, "seed": p["seed"],
            # By default it starts from the share of frauds, and then finds clearly fewer of them in as many rounds.
            "base_score": 0.5,
            "eta": p["learningRate"], "max_depth": p["depth"],
            "lambda": p["l2"], "min_child_weight": p["minChildWeight"],
            "subsample": p["subsample"], "colsample_bytree": p["colsample"],
        }, data, num_boost_round=p["trees"])
        return model.inplace_predict

    return fit


def lightgbm(p, threads):
    import lightgbm as lgb

    def fit(x, y):
        data = lgb.Dataset(x, y, params={"max_bin": 255, "verbose": -1, "num_threads": threads})
        model = lgb.train({
            "objective": "binary", "max_bin": 255, "num_threads": threads, "seed": p["seed"], "verbose": -1,
            # For the same reason as xgboost's base_score.
            "boost_from_average": False,
            "learning_rate": p["learningRate"], "max_depth": p["depth"], "num_leaves": 2 ** p["depth"],
            "lambda_l2": p["l2"], "min_sum_hessian_in_leaf": p["minChildWeight"], "min_data_in_leaf": 1,
            "bagging_fraction": p["subsample"], "bagging_freq": 1 if p["subsample"] < 1 else 0,
            "feature_fraction": p["colsample"],
        }, data, num_boost_round=p["trees"])
        return model.predict

    return fit


def scikit_boosting(p, threads):
    from sklearn.ensemble import HistGradientBoostingClassifier

    # It has neither a smallest sum of hessians nor row sampling. Its smallest number of rows in a leaf is the default.
    model = HistGradientBoostingClassifier(
        max_iter=p["trees"], learning_rate=p["learningRate"], max_depth=p["depth"], max_leaf_nodes=2 ** p["depth"],
        l2_regularization=p["l2"], max_features=float(p["colsample"]), max_bins=255, early_stopping=False,
        random_state=p["seed"],
    )
    return lambda x, y: fraud_probability(model.fit(x, y))


def scikit_forest(p, threads):
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(
        n_estimators=p["trees"], max_depth=p["depth"] or None, max_features=float(p["colsample"]),
        min_samples_leaf=p["minSamplesLeaf"], n_jobs=threads, random_state=p["seed"],
    )
    return lambda x, y: fraud_probability(model.fit(x, y))


def fraud_probability(model):
    return lambda x: model.predict_proba(x)[:, 1]


def scikit_isolation(p, threads):
    from sklearn.ensemble import IsolationForest

    model = IsolationForest(
        n_estimators=p["trees"], max_samples=p["sampleSize"], n_jobs=threads, random_state=p["seed"],
    )

    def fit(x, y):
        model.fit(x)
        return lambda rows: -model.score_samples(rows)

    return fit


RUNNERS = {
    ("boosting", "xgboost"): xgboost,
    ("boosting", "lightgbm"): lightgbm,
    ("boosting", "scikit-learn"): scikit_boosting,
    ("forest", "scikit-learn"): scikit_forest,
    ("isolation", "scikit-learn"): scikit_isolation,
}

if __name__ == "__main__":
    main()
