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
_VALUE_END = re.compile(r"[&;#\s]")
_PATH_PARAMETER = re.compile(r";([^=;/?#\s]*)=[^;/?#\s]*")  # as in /shop;jsessionid=1
_USER = re.compile(r"(?<=//)[^/?#\s]*@")


def hide_secrets(url: str) -> str:
    """Give `url` with `HIDDEN` for what parameters hold that are named like secrets, and for a user and password.

    `url` may also be a line of text with one in it.
    """
    if "@" in url:
        url = _USER.sub(f"{HIDDEN}@", url)
    if ";" in url:
        path, mark, query = url.partition("?")
        url = _PATH_PARAMETER.sub(_shown_parameter, path) + mark + query
    start = url.find("?")
    if start < 0 or not any(map(_is_secret, _NAME.findall(url, start))):
        return url
    shown, end = [], 0
    for parameter in _NAME.finditer(url, start):
        if parameter.start() >= end and _is_secret(parameter[1]):  # else it is part of a value that is hidden
            shown.append(url[end : parameter.end()])
            shown.append(HIDDEN)
            value_end = _VALUE_END.search(url, parameter.end())
            end = value_end.start() if value_end else len(url)
    return "".join(shown) + url[end:]


def _shown_parameter(parameter: re.Match[str]) -> str:
    return f";{parameter[1]}={HIDDEN}" if _is_secret(parameter[1]) else parameter[0]


def _is_secret(name: str) -> bool:
    return _is_known_secret(name) if len(name) <= NAME_MAX_CHARS else _looks_secret(name)


def _looks_secret(name: str) -> bool:
    plain = unquote(name).strip("[]+ ").lower()
    return plain.endswith(_ENDINGS) or plain in _WHOLE_NAMES


_is_known_secret = lru_cache(NAMES_MAX_COUNT)(_looks_secret)
