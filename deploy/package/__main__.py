"""``python -m deploy.package``: builds the package, fetches its wheels, renews their pins."""

import argparse
from pathlib import Path

from deploy.package import transcript
from deploy.package.build import WHEELS_FOLDER, build
from deploy.package.wheels import ROOT, fetch, pin


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m deploy.package", description="Build Debian's package.")
    parser.add_argument(
        "what",
        choices=("build", "wheels", "pin", "transcript"),
        help="build the package; fetch the wheels, after which build needs no network; pin their newest versions; "
        "write docs/transcript.md, by running it all in a clean Debian",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the package (%(default)s)")
    parser.add_argument("--version", help="another version than the program's own")
    options = parser.parse_args()
    if options.what == "transcript":
        transcript.main()
    elif options.what == "pin":
        pin()
    elif options.what == "wheels":
        fetch(WHEELS_FOLDER)
    else:
        print(build(options.out, options.version))


if __name__ == "__main__":
    main()
