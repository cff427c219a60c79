"""Reason phrases."""

import http

import pytest

from gripproxy.protocol.reason_phrase import reason_phrase

RENAMED = {413, 414, 416, 422}  # RFC 9110 names; the standard library's depend on the Python version


@pytest.mark.parametrize("status", [s for s in http.HTTPStatus if s not in RENAMED])
def test_known_code_has_its_registered_phrase(status: http.HTTPStatus) -> None:
    """Two independent tables agree, so a slip of the pen in ours shows."""
    assert reason_phrase(status) == status.phrase.encode()


def test_renamed_codes_follow_rfc_9110() -> None:
    """The phrase on the wire must not change with the Python that runs us."""
    assert [reason_phrase(code) for code in sorted(RENAMED)] == [
        b"Content Too Large",
        b"URI Too Long",
        b"Range Not Satisfiable",
        b"Unprocessable Content",
    ]


@pytest.mark.parametrize("code", [0, 99, 299, 306, 599, 999])
def test_unknown_code_is_undefined_reason(code: int) -> None:
    """Origins may answer 299 without a phrase; Pushpin's clients see this text."""
    assert reason_phrase(code) == b"Undefined Reason"
