"""JSON Web Tokens: HS256, the key chosen by its id, scopes (R61). A token whose key is gone is refused (R38)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from ai_diagnostics.secret import Secret

SCOPES = ("diagnostics:read", "diagnostics:write", "operator")
MAX_LIFETIME_S = 86400
_LEEWAY_S = 30


class AuthError(Exception):
    """Who asks is not known (`status` 401), or may not (403); `code` says why in one word."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Caller:
    """Who asks: the token's subject and scopes."""

    subject: str
    scopes: frozenset[str]


def mint(keys: Mapping[str, Secret], subject: str, scopes: list[str], lifetime_s: int) -> str:
    """Make a token with the last of the keys.

    Raises:
        ValueError: there is no key, a scope is unknown, or the life is longer than a day.
    """
    from joserfc import jwt
    from joserfc.jwk import OctKey

    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise ValueError(f"unknown scopes {unknown}; known are {', '.join(SCOPES)}")
    if not 0 < lifetime_s <= MAX_LIFETIME_S:
        raise ValueError(f"a token lives 1 to {MAX_LIFETIME_S} seconds")
    if not keys:
        raise ValueError("no key: set JWT_SECRET or JWT_KEYS (or …_FILE)")
    kid, key = list(keys.items())[-1]
    at = int(time.time())
    claims = {"sub": subject, "scope": " ".join(scopes), "iat": at, "exp": at + lifetime_s}
    return jwt.encode({"alg": "HS256", "kid": kid}, claims, OctKey.import_key(key.reveal()))


class Authority:
    """Checks tokens against a set of keys; with no keys every token is refused."""

    def __init__(self, keys: Mapping[str, Secret]) -> None:
        if not keys:
            self._keys = {}
            return
        from joserfc.jwk import OctKey

        self._keys = {kid: OctKey.import_key(key.reveal()) for kid, key in keys.items()}

    def caller(self, header: str | None, scope: str) -> Caller:
        """Read an Authorization header and demand a scope; raises AuthError."""
        kind, _, token = (header or "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise AuthError(401, "token_missing", "send Authorization: Bearer TOKEN")
        if not self._keys:
            raise AuthError(401, "no_keys", "this service has no JWT keys; set JWT_SECRET")
        caller = self._verified(token)
        if scope not in caller.scopes:
            raise AuthError(403, "scope_missing", f"the token has no scope {scope}")
        return caller

    def _verified(self, token: str) -> Caller:
        from joserfc import jws, jwt
        from joserfc.errors import JoseError

        try:
            kid = jws.extract_compact(token.encode()).headers().get("kid")
            key = self._keys.get(kid) if isinstance(kid, str) else None
            if key is None:
                raise AuthError(401, "key_unknown", "the token's key id is not one of this service's keys")
            claims = jwt.decode(token, key, algorithms=["HS256"]).claims
            rules = jwt.JWTClaimsRegistry(
                leeway=_LEEWAY_S, sub={"essential": True}, exp={"essential": True}, iat={"essential": True}
            )
            rules.validate(claims)
        except (JoseError, ValueError, UnicodeError) as error:
            raise AuthError(401, "token_invalid", f"the token is not valid: {type(error).__name__}") from None
        if claims["exp"] - claims["iat"] > MAX_LIFETIME_S:
            raise AuthError(401, "token_invalid", "the token lives longer than a day")
        return Caller(str(claims["sub"]), frozenset(str(claims.get("scope", "")).split()))
