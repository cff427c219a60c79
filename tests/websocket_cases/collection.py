"""All cases."""

from tests.websocket_cases import close_cases, compression_cases, frame_cases, text_cases
from tests.websocket_cases.case import Case

CASES: list[Case] = [*frame_cases.CASES, *text_cases.CASES, *close_cases.CASES, *compression_cases.CASES]
