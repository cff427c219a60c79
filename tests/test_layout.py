"""What the linters do not see: every module has its test file, and no file or function outgrows its reader."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_MAX_LINES = 500  # past it, split by noun
FUNCTION_MAX_LINES = 60

# Where each source root's tests live.
TEST_FOLDERS = {
    ROOT / "src" / "gripproxy": ROOT / "tests",
    ROOT / "workers" / "gripproxy_worker": ROOT / "tests" / "worker",
}
CODE_FOLDERS = ("src", "workers", "benchmarks", "deploy", "tests")


def holds_code(path: Path) -> bool:
    """Tell whether there is anything to test: a docstring and constants alone are not."""
    statements = ast.parse(path.read_text()).body
    return any(not isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign) for statement in statements)


def modules() -> list[tuple[str, Path]]:
    """Pair each module that holds code with the test file it must have."""
    pairs = []
    for source_root, test_root in TEST_FOLDERS.items():
        for path in sorted(source_root.rglob("*.py")):
            if holds_code(path):
                stem = path.parent.name if path.stem == "__init__" else path.stem.strip("_")
                test_path = test_root / path.parent.relative_to(source_root) / f"test_{stem}.py"
                pairs.append((str(path.relative_to(ROOT)), test_path))
    return pairs


def functions(path: Path) -> list[tuple[str, int]]:
    """Name each function of a file with the lines it spans, decorators left out."""
    return [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


CODE_FILES = [path for folder in CODE_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize(("module", "test_path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_module_has_its_test_file(module: str, test_path: Path) -> None:
    """A reader finds what a module promises at the same place under tests/."""
    assert test_path.is_file(), f"{module} has no {test_path.relative_to(ROOT)}"


@pytest.mark.parametrize("path", CODE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_and_functions_stay_readable(path: Path) -> None:
    """A file is read in one sitting, a function on one screen."""
    lines_count = len(path.read_text().splitlines())
    assert lines_count <= FILE_MAX_LINES, f"{lines_count} lines: split it by noun"
    too_long = [f"{name}: {length} lines" for name, length in functions(path) if length > FUNCTION_MAX_LINES]
    assert not too_long
