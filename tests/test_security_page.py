"""SECURITY.md keeps its word: the tests that it names exist, and nothing in the sources runs what a file brings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def calls() -> Iterator[tuple[str, str, dict[str, ast.expr]]]:
    """(where, name of the function, keywords) of every call in the program and the training."""
    for folder in ("rapbot", "adapters", "training"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    where = f"{file.relative_to(ROOT)}:{node.lineno}"
                    yield where, ast.unparse(node.func), {one.arg: one.value for one in node.keywords if one.arg}


def _is(value: ast.expr | None, wanted: object) -> bool:
    return isinstance(value, ast.Constant) and value.value is wanted


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w./]+)`", page))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_no_file_can_bring_code_along() -> None:
    seen = 0
    for where, function, given in calls():
        if function == "torch.load":
            seen += 1
            assert _is(given.get("weights_only"), True), where
        assert function not in {"pickle.load", "pickle.loads", "yaml.load", "marshal.loads", "eval", "exec"}, where
        assert not re.fullmatch(r"(?:joblib|dill|cloudpickle)\..*|shelve\.open|os\.(?:system|popen)", function), where
        for option in ("allow_pickle", "trust_remote_code", "shell"):
            assert option not in given or _is(given[option], False), where
    assert seen >= 3
