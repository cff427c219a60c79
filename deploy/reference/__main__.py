"""``python -m deploy.reference``: writes docs/configuration.md, or with --out what the package installs."""

import argparse
from pathlib import Path

from deploy.reference import completion, configuration_md, man_pages

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION_PATH = ROOT / "docs" / "configuration.md"


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m deploy.reference", description="Write the reference.")
    parser.add_argument("--out", type=Path, help="write manual pages and completion into this folder instead")
    out = parser.parse_args().out
    if out is None:
        CONFIGURATION_PATH.write_text(configuration_md.render((ROOT / "deploy" / "gripproxy.conf").read_text()))
        return
    for name, text in man_pages.render_all(ROOT).items():
        _write(out / "man" / name, text)
    _write(out / "completion" / "gripproxy", completion.bash())
    _write(out / "completion" / "_gripproxy", completion.zsh())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    main()
