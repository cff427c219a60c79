"""Why a measurement could not be made."""


class BenchmarkError(Exception):
    """A server did not start, did not answer, or a bound on time or memory was reached."""
