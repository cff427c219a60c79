"""The dashboard for Grafana, as tests look at it."""

import json
import re
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parents[1] / "deploy" / "grafana" / "gripproxy.json"
_VALUES = {"${prefix}": "", "$__rate_interval": "1m", "$instance": ".*"}


def read_dashboard() -> dict[str, Any]:
    """Read the file."""
    dashboard: dict[str, Any] = json.loads(PATH.read_text())
    return dashboard


def expressions() -> list[str]:
    """Give all that its panels ask, as Grafana sends it to Prometheus."""
    found = [target["expr"] for panel in read_dashboard()["panels"] for target in panel.get("targets", ())]
    return [re.sub("|".join(map(re.escape, _VALUES)), lambda match: _VALUES[match[0]], text) for text in found]
