"""Print what pyproject.toml asks for, with these extras, for pip: `python requirements.py EXTRA …`."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
for name in ("", *sys.argv[1:]):
    print("\n".join(project["optional-dependencies"][name] if name else project["dependencies"]))
