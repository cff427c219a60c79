"""URLs as logs and monitors may show them: without the passwords and tokens that clients put into them."""

import re
from functools import lru_cache
from urllib.parse import unquote

HIDDEN = "***"
NAMES_MAX_COUNT = 1024  # that are remembered; clients choose them
NAME_MAX_CHARS = 64

# Names of parameters that end so: api_key, access_token, X-Amz-Signature, PHPSESSID. Others that happen to end so
# are hidden with them.
_ENDINGS = (
    *("key", "token", "secret", "password", "passwd", "pwd", "pass", "auth", "authorization", "bearer", "jwt", "otp"),
    *("sig", "signature", "credential", "credentials", "session", "sessionid", "session_id", "sessid", "sid"),
)
_WHOLE_NAMES = frozenset({"code", "pw", "pin", "body", "_body", "_headers"})  # OAuth's, and those of JSON-P

_NAME = re.compile(r"[?&;]([^?=&;#]*)=")
_PARAMETER = re.compile(r"([?&;]([^?=&;#]*)=)([^&;#]*)")
_USER = re.compile(r"(?<=//)[^/?#]*@")


def hide_secrets(url: str) -> str:
    """Give `url` with `HIDDEN` for what parameters hold that are named like secrets, and for a user and password."""
    if "@" in url:
        url = _USER.sub(f"{HIDDEN}@", url, count=1)
    start = url.find("?")
    if start < 0 or not any(map(_is_secret, _NAME.findall(url, start))):
        return url
    return url[:start] + _hide_values(url[start:])


def _hide_values(query: str) -> str:
    return _PARAMETER.sub(_hide_value, query)


def _hide_value(parameter: re.Match[str]) -> str:
    beginning, name, value = parameter.groups()
    return beginning + (HIDDEN if _is_secret(name) else _hide_values(value))


def _is_secret(name: str) -> bool:
    return _is_known_secret(name) if len(name) <= NAME_MAX_CHARS else _looks_secret(name)


def _looks_secret(name: str) -> bool:
    plain = unquote(name).strip("[]+ ").lower()
    return plain.endswith(_ENDINGS) or plain in _WHOLE_NAMES


_is_known_secret = lru_cache(NAMES_MAX_COUNT)(_looks_secret)
