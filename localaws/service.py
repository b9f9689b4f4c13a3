"""A JSON-protocol AWS service inside ministack: X-Amz-Target names the operation, the body its members."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from localaws.errors import AwsError
from localaws.schema import Members, Schema
from localaws.store import Scope

logger = logging.getLogger(__name__)

Response = tuple[int, dict[str, str], bytes]
Query = Mapping[str, list[str]]


@dataclass(frozen=True)
class Call:
    """One request that passed authentication, authorisation and validation."""

    operation: str
    scope: Scope
    caller_arn: str
    params: Members


Operation = Callable[[Call], Members]


class JsonService:
    """Validates requests against botocore's model, calls operations, and shapes their answers by it."""

    def __init__(self, schema: Schema, operations: Mapping[str, Operation]):
        self.schema = schema
        self._operations = operations

    async def handle_request(
        self, _method: str, _path: str, headers: Mapping[str, str], body: bytes, _query: Query
    ) -> Response:
        """The entry point that ministack calls on its event loop; operations only touch memory."""
        name = headers.get("x-amz-target", "").rpartition(".")[2]
        try:
            return _json_response(200, self.call(name, parse_body(body)))
        except AwsError as error:
            return error_response(error)

    def call(self, name: str, params: Members) -> Members:
        """The answer of one operation for the current request."""
        operation = self._operations.get(name)
        self.schema.validate(name, params)
        if operation is None:
            service = self.schema.model.service_name
            raise AwsError("NotImplemented", f"The local AWS does not cover {service}:{name}.", status=501)
        answer = operation(Call(name, current_scope(), current_caller(), params))
        return self.schema.answer(name, answer)


def parse_body(body: bytes) -> Members:
    """The members of a request. Raises: AwsError when the body is not a JSON object."""
    try:
        params = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", f"The body is not JSON: {error}") from error
    if not isinstance(params, dict):
        raise AwsError("SerializationException", "The body is not a JSON object.")
    return params


def error_response(error: AwsError) -> Response:
    """An error as botocore's JSON parsers read it."""
    body = {"__type": error.code, "message": error.message, **error.members}
    status, headers, content = _json_response(error.status, body)
    return status, {**headers, "x-amzn-ErrorType": error.code}, content


def current_scope() -> Scope:
    """The account and region of the request that is being served."""
    from ministack.core.responses import get_account_id, get_region

    return Scope(get_account_id(), get_region())


def current_caller() -> str:
    """The ARN of the principal behind the request that is being served."""
    from ministack.core.iam_evaluator import caller_arn

    return str(caller_arn())


def _json_response(status: int, members: Members) -> Response:
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(members).encode()
