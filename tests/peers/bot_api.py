"""The Bot API as data, and the check of every call, answer and update against it.

The stand-in would otherwise drift from Telegram: an argument that PTB renamed or a field the fake
forgot would pass here and fail in the field. The data lies beside the project (never in it).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[2].parent / "shared/data/telegram/bot_api.min.json"

_CONSTANT = re.compile(r'(?:always|must be) "?(\w+)"?$')  # "Type of the media, must be photo"
_ARRAY = "Array of "
# Arguments that stay text when no data file says so: everything else on the wire may be JSON.
_TEXTS = frozenset(
    "text caption photo document callback_query_id description short_description parse_mode url secret_token"
    " file_id language_code action name title business_connection_id inline_message_id".split()
)

Wire = dict[str, Any]


class BotApi:
    """What the Bot API allows: methods with their arguments, types with their fields."""

    def __init__(self, data: Wire) -> None:
        self._methods: Wire = data["methods"]
        self._types: Wire = data["types"]

    def knows(self, method: str) -> bool:
        """Whether Telegram has a method of this name."""
        return method in self._methods

    def argument_types(self, method: str, name: str) -> list[str]:
        """The types an argument may have; empty for an unknown one."""
        fields = self._methods.get(method, {}).get("fields", [])
        return next((list(f["types"]) for f in fields if f["name"] == name), [])

    def reactions(self) -> str:
        """The sentence that lists every emoji a reaction may be, each in quotes."""
        fields = self._types["ReactionTypeEmoji"]["fields"]
        return next(str(f["description"]) for f in fields if f["name"] == "emoji")

    def faults_of_call(self, method: str, arguments: Wire, files: set[str]) -> list[str]:
        """What is wrong with a call: unknown method or argument, missing or mistyped ones."""
        if method not in self._methods:
            return [f"{method}: no such method"]
        fields = {f["name"]: f for f in self._methods[method].get("fields", [])}
        attached = {name for name in files if f"attach://{name}" in json.dumps(arguments, ensure_ascii=False)}
        faults = [f"{method}: unknown argument {name!r}" for name in arguments if name not in fields]
        for name in sorted(files - attached):
            if name not in fields:
                faults.append(f"{method}: file {name!r} belongs to no argument")
            elif "InputFile" not in fields[name]["types"]:
                faults.append(f"{method}.{name}: takes no file")
        faults += [
            f"{method}: {name!r} is required"
            for name, field in fields.items()
            if field["required"] and name not in arguments and name not in files
        ]
        for name, value in arguments.items():
            if name in fields:
                faults += self._faults(fields[name]["types"], value, f"{method}.{name}")
        return faults

    def faults_of_answer(self, method: str, result: Any) -> list[str]:
        """What is wrong with the result the stand-in gives to `method`."""
        returns = self._methods.get(method, {}).get("returns", [])
        return self._faults(returns, result, f"answer to {method}") if returns else []

    def faults_of(self, type_name: str, value: Any) -> list[str]:
        """What is wrong with a value that should be a `type_name`, such as an Update."""
        return self._faults([type_name], value, type_name)

    def _faults(self, types: list[str], value: Any, where: str) -> list[str]:
        """Empty if `value` is one of `types`, else the complaints of the type that fits best."""
        attempts = []
        for name in types:
            attempt = self._faults_as(name, value, where)
            if not attempt:
                return []
            attempts.append(attempt)
        # An object that says what it is ("type": "photo") is judged as that, not as its siblings.
        told = [a for a in attempts if not any(" is not the constant " in fault for fault in a)]
        return min(told or attempts, key=len)

    def _faults_as(self, name: str, value: Any, where: str) -> list[str]:
        if name.startswith(_ARRAY):
            if not isinstance(value, list):
                return [f"{where}: {_shown(value)} is not {name}"]
            inner = name.removeprefix(_ARRAY)
            return [f for i, item in enumerate(value) for f in self._faults([inner], item, f"{where}[{i}]")]
        if name in _PLAIN:
            return [] if _PLAIN[name](value) else [f"{where}: {_shown(value)} is not {name}"]
        if name == "InputFile":
            return [] if isinstance(value, str) and value.startswith("attach://") else [f"{where}: not a file"]
        described = self._types[name]
        if "subtypes" in described:
            return self._faults(described["subtypes"], value, where)
        if not isinstance(value, dict):
            return [f"{where}: {_shown(value)} is not {name}"]
        return self._faults_of_fields(name, described.get("fields", []), value, where)

    def _faults_of_fields(self, name: str, listed: list[Wire], value: Wire, where: str) -> list[str]:
        fields = {f["name"]: f for f in listed}
        faults = [f"{where}: {name} has no field {key!r}" for key in value if key not in fields]
        faults += [f"{where}: {name} needs {k!r}" for k, f in fields.items() if f["required"] and k not in value]
        for key, item in value.items():
            if key not in fields:
                continue
            constant = _CONSTANT.search(fields[key]["description"]) if key in ("type", "status", "source") else None
            if constant and item != constant[1]:
                faults.append(f"{where}.{key}: {_shown(item)} is not the constant {constant[1]!r}")
            faults += self._faults(fields[key]["types"], item, f"{where}.{key}")
        return faults


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_PLAIN: dict[str, Callable[[Any], bool]] = {
    "String": lambda value: isinstance(value, str),
    "Integer": _is_integer,
    "Float": lambda value: _is_integer(value) or isinstance(value, float),
    "Boolean": lambda value: isinstance(value, bool),
}


def _shown(value: Any) -> str:
    """A value short enough for a complaint."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@functools.cache
def load() -> BotApi | None:
    """The Bot API, or None where the data file does not lie beside the project."""
    return BotApi(json.loads(DATA.read_text("utf-8"))) if DATA.is_file() else None


def decode(api: BotApi | None, method: str, name: str, raw: str) -> Any:
    """The value of one form field: forms carry every compound value, number and flag as JSON text."""
    types = api.argument_types(method, name) if api else (["String"] if name in _TEXTS else ["Integer"])
    if types and set(types) <= {"String", "InputFile"}:
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        return raw
