"""gripproxy: a GRIP push proxy. The packages and what each may import: CONTRIBUTING.md."""

__version__ = "0.1.0"
