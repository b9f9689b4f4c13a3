"""What a client asks: the body of an invocation, as the encoded matrix.

A CSV body has a row per instance in the features' order, or a header that names them. A JSON body is a list
of instances, bare or under `instances` or `inputs`, or MLflow's `dataframe_split` and `dataframe_records`;
JSON lines have an instance a line. An instance is a list in the features' order, an object by name, or
{"features": [...]}.

Instances are read by the fast ways first, which answer only for what is right beyond doubt, then, if that
did not, by the exact way, which says what is wrong with which instance and column. A large body is read part
by part: as Python's objects it would take twenty times its size.
"""

from __future__ import annotations

from model_src.csv_parser import CsvParser
from model_src.encoding import Matrix
from model_src.json_parser import JsonParser
from model_src.media import CSV, JSON_LINES


class RequestParser(CsvParser, JsonParser):
    """Reads the bodies of one model's requests."""

    def parse(self, content_type: str, body: bytes) -> Matrix:
        """The body's instances: shape (n_rows, n_features).

        Raises: RequestError 400 that says which row and column is wrong.
        """
        if content_type == CSV:
            return self._parse_csv(body)
        return self._parse_lines(body) if content_type == JSON_LINES else self._parse_json(body)
