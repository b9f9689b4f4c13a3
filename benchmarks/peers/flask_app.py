"""SageMaker's scikit-learn sample layout: Flask, asked with pandas. TRAINING_DATA names the CSV file."""

import io
import os

import flask
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

_frame = pd.read_csv(os.environ["TRAINING_DATA"])
_target = _frame.columns[-1]
_features = [column for column in _frame.columns if column != _target]
_model = RandomForestClassifier(n_estimators=100, random_state=0).fit(_frame[_features], _frame[_target])

app = flask.Flask(__name__)


@app.route("/ping")
def ping() -> flask.Response:
    """Health."""
    return flask.Response("{}", mimetype="application/json")


@app.route("/invocations", methods=["POST"])
def invocations() -> flask.Response:
    """Labels and probabilities of the rows sent."""
    if flask.request.content_type == "text/csv":
        text = flask.request.data.decode("utf-8")
        rows = pd.read_csv(io.StringIO(text), header=None, names=_features)
    else:
        rows = pd.DataFrame(flask.request.get_json()["instances"], columns=_features)
    probabilities = _model.predict_proba(rows)
    labels = _model.classes_[probabilities.argmax(axis=1)]
    if flask.request.content_type == "text/csv":
        return flask.Response("\n".join(labels) + "\n", mimetype="text/csv")
    answers = [
        {"label": label, "probabilities": dict(zip(_model.classes_, row, strict=True))}
        for label, row in zip(labels, probabilities.tolist(), strict=True)
    ]
    return flask.jsonify({"predictions": answers})
