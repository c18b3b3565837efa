"""Which module may import what: the house's walls, read from the source itself."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("features", "training", "serving")
COMMAND_LINE = ("commands", "journeycast")
OTHERS = ("tests", "benchmarks", "notebooks")
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [
        ROOT / "journeycast.py",
        *(p for folder in (*PACKAGES, "commands", *OTHERS) for p in (ROOT / folder).rglob("*.py")),
    ]
)
SHIPPED = [file for file in FILES if file.partition("/")[0] not in OTHERS]

# Package -> packages of ours it may not import.
FORBIDDEN = {"features": {"training", "serving"}, "training": {"serving"}, "serving": set()}
MLFLOW = {"training/tracking.py", "serving/registry.py", "training/pyfunc_model.py"}
PICKLES = {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}


def imports(source: str) -> set[str]:
    """Every module a source imports, at the top or inside; relative imports begin with a dot."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            found |= {str(word.value) for word in node.args[:1] if isinstance(word, ast.Constant)}
    return found


@cache
def tops(file: str) -> set[str]:
    """The top-level packages a file imports."""
    return {name.partition(".")[0] for name in imports((ROOT / file).read_text(encoding="utf-8"))}


def reads_environment(source: str) -> bool:
    """Whether a source looks into the environment: `os.environ`, `os.getenv`, or either imported by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv"):
            return True
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {n.name for n in node.names}
            & {
                "environ",
                "getenv",
                "putenv",
            }
        ):
            return True
    return False


def test_there_are_files_to_look_at():
    assert {file.partition("/")[0] for file in SHIPPED} == {*PACKAGES, "commands", "journeycast.py"}
    assert len(SHIPPED) > 40


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_in_one_direction(package):
    wrong = {file: tops(file) & FORBIDDEN[package] for file in SHIPPED if file.startswith(f"{package}/")}
    assert {file: names for file, names in wrong.items() if names} == {}


def test_nobody_imports_the_command_line():
    inside = ("commands/", "journeycast.py")
    assert [file for file in SHIPPED if tops(file) & set(COMMAND_LINE) and not file.startswith(inside)] == []
    assert [file for file in SHIPPED if "journeycast" in tops(file)] == []


def test_our_packages_are_imported_by_their_full_names():
    relative = {
        file for file in SHIPPED for name in imports((ROOT / file).read_text(encoding="utf-8")) if name[0] == "."
    }
    assert relative == set()


def test_mlflow_is_imported_where_it_belongs():
    assert {file for file in SHIPPED if "mlflow" in tops(file)} <= MLFLOW


def test_the_web_framework_stays_below_serving():
    web = {"fastapi", "starlette", "uvicorn"}
    wrong = [file for file in SHIPPED if tops(file) & web and not file.startswith("serving/")]
    assert [file for file in wrong if tops(file) & web != {"uvicorn"} or file != "commands/server.py"] == []


def test_only_the_command_line_reads_the_environment():
    assert [f for f in SHIPPED if f != "journeycast.py" and reads_environment((ROOT / f).read_text("utf-8"))] == []


def test_revisions_of_the_store_lean_on_nothing_that_changes():
    revisions = [file for file in FILES if file.startswith("serving/versions/")]
    assert set().union(*(tops(file) for file in revisions)) == {"alembic", "sqlalchemy"}


def test_nothing_is_pickled():
    assert {file: tops(file) & PICKLES for file in FILES if tops(file) & PICKLES} == {}


def test_pandas_stays_at_the_edges():
    """Polars is the frame library: nothing below `features` knows pandas."""
    assert [file for file in SHIPPED if file.startswith("features/") and "pandas" in tops(file)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import a.b as c", {"a.b"}),
        ("def f():\n    from a import b", {"a"}),
        ("from . import b\nfrom ..c import d", {".", "..c"}),
        ("if True:\n    import a, b", {"a", "b"}),
        ("import importlib\nimportlib.import_module('a.b')", {"importlib", "a.b"}),
        ("__import__('pickle')", {"pickle"}),
        ("x = 'import a'", set()),
    ],
)
def test_every_form_of_import_is_seen(source, found):
    assert imports(source) == found


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("import os\nos.environ['A']", True),
        ("import os as o\no.getenv('A')", True),
        ("from os import environ", True),
        ("from os import path", False),
        ("environment = {}", False),
    ],
)
def test_every_way_into_the_environment_is_seen(source, reads):
    assert reads_environment(source) is reads
