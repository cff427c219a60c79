"""Scenarios of who may publish over HTTP: as in the reference everybody, but for pages of foreign sites."""

from tests.conformance.publishing import control, items
from tests.conformance.refusals import sized
from tests.conformance.scenario import Difference, Scenario

SCENARIOS = [
    Scenario(
        name="publish-with-credentials",
        why="without a key in the configuration an Authorization header is nobody's business",
        steps=[control(items(), "Authorization: Bearer nonsense", "Sec-Fetch-Mode: cors")],
    ),
    Scenario(
        name="publish-from-a-page",
        why="a browser lets a page of any site send requests to its user's machine",
        steps=[control(items(), "Origin: http://other.test", "Sec-Fetch-Site: cross-site")],
        difference=Difference(
            id="no-page-of-another-origin",
            reference=f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n{sized('Published')}",
            ours="HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            + sized("Forbidden: a page of another origin asks for this; Origin and Host differ."),
        ),
    ),
]
