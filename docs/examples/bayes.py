# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "scikit-learn==1.9.1",
#   "skops==0.16.0",
#   "pandas==3.0.5",
#   "pyarrow==25.0.0",
#   "numpy==2.4.6",
#   "scipy==1.17.1",
# ]
# ///
"""Naive Bayes over hashed n-grams, as a model module: see docs/model-module.md."""

from pathlib import Path

import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline

FEATURES = 2**18
ALPHAS = [0.001, 0.003, 0.01, 0.03, 0.1]
FOLDS = 3


class Model:
    """Naive Bayes over the hashed words and characters of each text."""

    def run(self, params):
        """Fit the model on the training rows, and cross-validate its smoothing on them."""
        rows = pd.read_parquet(params["rows"])
        parts = {
            f"{name}_{number}": (HashingVectorizer(n_features=FEATURES, alternate_sign=False, **options), column)
            for number, column in enumerate(params["texts"])
            for name, options in {
                "words": {"ngram_range": (1, 2)},
                "characters": {"analyzer": "char_wb", "ngram_range": (2, 4)},
            }.items()
        }
        features = ColumnTransformer([(name, *part) for name, part in parts.items()])
        # Hashing learns nothing from the rows, so all folds can share its result.
        hashed = features.fit_transform(rows[params["texts"]])
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=params["seed"])
        search = GridSearchCV(MultinomialNB(), {"alpha": ALPHAS}, scoring="f1_weighted", cv=folds)
        search.fit(hashed, rows[params["label"]])
        file = Path(params["folder"], "model.skops")
        skops.io.dump(Pipeline([("features", features), ("classifier", search.best_estimator_)]), file)
        return {
            "model": str(file),
            "metrics": {"cv_f1": float(search.best_score_), "alpha": search.best_params_["alpha"]},
        }
