"""Authorization tokens of the registry: passwords that stand for whoever asked for them."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from dataclasses import dataclass

from localaws.store import Scope

LIFETIME_S = 12 * 3600
USER = "AWS"


@dataclass(frozen=True)
class Token:
    """Its bearer acts with the permissions of `access_key_id`."""

    password: str
    access_key_id: str
    scope: Scope
    expires_at: float


class Tokens:
    """The tokens that were handed out and have not expired."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}

    def issue(self, access_key_id: str, scope: Scope) -> Token:
        now = time.time()
        self._tokens = {word: token for word, token in self._tokens.items() if token.expires_at > now}
        token = Token(secrets.token_urlsafe(48), access_key_id, scope, now + LIFETIME_S)
        self._tokens[token.password] = token
        return token

    def of_header(self, authorization: str) -> Token | None:
        """The valid token in a Basic authorization header, or None."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        token = self._tokens.get(password)
        return token if user == USER and token and token.expires_at > time.time() else None
