"""Builds Debian's package of gripproxy: `python -m deploy.package --help`."""
