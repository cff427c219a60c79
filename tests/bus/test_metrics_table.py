"""The table of metrics, and what is written about them: docs, alerts and dashboard know each of them, and no other."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.bus.metrics_table import FAMILIES, HISTOGRAMS, ROUTE_FAMILIES, Family, Kind, RouteFamily, Scope
from gripproxy.bus.reference_metrics import reference_lines
from gripproxy.protocol.telemetry import Traffic
from gripproxy.scoreboard import Field, Histogram, Scoreboard
from tests import dashboard
from tests.dashboard import expressions, read_dashboard
from tests.installed import require

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "metrics.md"
RULES = ROOT / "deploy" / "prometheus" / "gripproxy.rules.yml"
ALL: tuple[Family | RouteFamily, ...] = (*FAMILIES, *HISTOGRAMS, *ROUTE_FAMILIES)
HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")


def labels(family: Family | RouteFamily) -> dict[str, set[str]]:
    """Give the values by label."""
    found: dict[str, set[str]] = {}
    for sample in family.samples:
        for name, value in re.findall(r'(\w+)="(\w+)"', sample[0]):
            found.setdefault(name, set()).add(value)
    return found


def documented() -> Iterator[list[str]]:
    """Give the cells of each row about a metric."""
    for line in DOCS.read_text().splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def sample_names(prefix: str) -> set[str]:
    """Give every name that a sample can have."""
    names = {f"{prefix}gripproxy_build_info"}
    for family in ALL:
        suffixes = HISTOGRAM_SUFFIXES if family.kind == Kind.HISTOGRAM else ("",)
        names |= {f"{prefix}gripproxy_{family.name}{suffix}" for suffix in suffixes}
    return names


def metrics_in(text: str) -> set[str]:
    return set(re.findall(r"\bgripproxy_\w+", text))


def test_every_metric_is_documented_and_no_other() -> None:
    """Names, types, processes and labels; who reads the docs need not read the page."""
    own = {family.name: family for family in ALL}
    reference = {
        line.split(" ")[2]: line.split(" ")[3]
        for line in reference_lines([list(Scoreboard(1).row(0))], {})
        if line.startswith("# TYPE ")
    }
    seen = set()
    for name, kind, *rest in documented():
        name = name.strip("`")
        assert name not in seen, f"{name} is documented twice"
        seen.add(name)
        if name in reference:
            assert kind == reference[name]
            continue
        family = own[name]
        assert kind == family.kind.value, name
        if isinstance(family, Family):
            assert rest[0] == family.scope.value, name
        told = rest[-2]
        assert set(re.findall("`(\\w+)`", told)) == set().union(
            *({key} | values for key, values in labels(family).items()), ()
        ), name
    assert seen == own.keys() | reference.keys()


def test_no_column_is_shown_twice_but_holds() -> None:
    """Two names for one number would be two numbers to whoever adds them up."""
    columns = [column for family in FAMILIES for _, column in family.samples]
    twice = {column for column in columns if columns.count(column) > 1}
    assert twice == {Field.HELD_STREAMS, Field.HELD_RESPONSES, Field.HELD_WEBSOCKETS}
    assert sorted(family.samples[0][1] for family in HISTOGRAMS) == sorted(Histogram)


def test_counters_are_named_as_such() -> None:
    """And units are Prometheus's base units."""
    for family in ALL:
        assert (family.kind == Kind.COUNTER) == family.name.endswith("_total"), family.name
        assert (family.kind == Kind.HISTOGRAM) <= family.name.endswith("_seconds"), family.name
        assert family.scope in Scope if isinstance(family, Family) else family.samples[0][1] in set(Traffic)


@pytest.mark.parametrize("path", [DOCS, RULES, dashboard.PATH], ids=lambda path: path.name)
def test_texts_ask_for_metrics_that_exist(path: Path) -> None:
    """A metric that was renamed shows as an empty panel, or as an alert that never comes."""
    named = metrics_in(path.read_text())
    assert named and named <= sample_names("")


def test_dashboard_shows_every_metric() -> None:
    """A figure that nobody sees is not worth its counter."""
    shown = metrics_in("\n".join(expressions()))
    for family in ALL:
        assert shown & {f"gripproxy_{family.name}{suffix}" for suffix in ("", "_bucket")}, family.name


def test_dashboard_asks_what_prometheus_understands(tmp_path: Path) -> None:
    """Every expression is read by its own parser, as that of a rule."""
    require("promtool")
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions())]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # which is YAML too
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, f"SUCCESS: {len(rules)} rules found" in done.stdout) == (0, True), done.stderr


def test_dashboard_can_be_imported_as_it_is() -> None:
    """Its panels have ids and places of their own, and its data source is chosen by whoever opens it."""
    board = read_dashboard()
    panels = board["panels"]
    assert board["id"] is None and board["title"] == "gripproxy"
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    used = set(re.findall(r"\$\{?(\w+)", dashboard.PATH.read_text())) - {"__rate_interval", "__all"}
    assert used == {variable["name"] for variable in board["templating"]["list"]}
    assert {panel["datasource"]["uid"] for panel in panels if "targets" in panel} == {"${datasource}"}


def test_example_configuration_is_valid() -> None:
    """With its alerts, by Prometheus's own check."""
    require("promtool")
    path = ROOT / "deploy" / "prometheus" / "prometheus.yml"
    done = subprocess.run(["promtool", "check", "config", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
