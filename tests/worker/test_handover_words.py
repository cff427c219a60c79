"""What old and new workers say: numbers that may not change without another version of the hand-over."""

from gripproxy.handover import HANDOVER_VERSION
from gripproxy_worker.handover_words import Word


def test_words_of_this_version() -> None:
    """Both sides are of different versions of gripproxy: who changes this has to raise the hand-over's."""
    words = "HELLO LISTENERS ACCEPTING NEXT NOTHING STOPPED BATCH TAKEN SETTLED RETRACTED"
    assert (HANDOVER_VERSION, " ".join(word.name for word in Word)) == (1, words)
    assert list(map(int, Word)) == list(range(10))
