"""Actions as text commands: what one clicks is what a script could say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import UserError

_NAME = re.compile(r"[\w.+-]+")


def command(word: str, *plain: object, **named: object) -> str:
    """One line of a script.

    Args:
        word: The command.
        plain: Its first arguments.
        named: Further ones; those that are None or empty are left out.
    """
    more = [f"{key}={value}" for key, value in named.items() if value not in (None, "")]
    arguments = ", ".join([*(str(value) for value in plain), *more])
    return f"{word} {arguments}" if arguments else word


def selection_text(text: str) -> str:
    """A selection as an argument: in brackets where a comma or an equals sign would part it.

    Raises:
        UserError: If it is empty, or would be read as more than one command.
    """
    words = " ".join(text.split())
    if not words:
        raise UserError("choose a molecule, or type a selection such as '1ubq and chain A'")
    if ";" in words or words.count("(") != words.count(")"):
        raise UserError(f"'{words}' is no selection: brackets must close, and it holds no ';'")
    if _NAME.fullmatch(words) or (words[0] + words[-1] == "()" and _is_one_bracket(words)):
        return words
    return f"({words})"


def path_text(path: str) -> str:
    """A file as an argument, in quotes where PyMOL's parser would part it.

    Raises:
        UserError: If no quotes help.
    """
    text = str(Path(path.strip()).expanduser()) if path.strip() else ""
    if not re.search(r"[,;()\[\]=]", text) and text.strip("\"'") == text:
        return text
    for quote in "\"'":
        if quote not in text:
            return f"{quote}{text}{quote}"
    raise UserError(f"PyMOL's commands cannot name '{text}'; give the file another name")


def word_text(what: str, text: str) -> str:
    """What was typed into a field, as one argument.

    Args:
        what: The field.
        text: What stands there.

    Raises:
        UserError: If PyMOL would read it as several arguments, or as another command.
    """
    words = " ".join(text.split())
    if re.search(r"[,;(){}=\"']", words) or words.count("[") != words.count("]"):
        raise UserError(f"{what} must be words without , ; = quotes or brackets, got '{words}'")
    return words


def number_text(value: float) -> str:
    """A number as short as it can be: ``0.7``, ``100``."""
    return f"{value:.6g}"


def _is_one_bracket(text: str) -> bool:
    depth = 0
    for k, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0 and k < len(text) - 1:
            return False
    return True


class Emitter:
    """Gives commands to one PyMOL.

    Args:
        _self: PyMOL.
    """

    def __init__(self, _self: Any) -> None:
        self._cmd = _self

    def do(self, line: str) -> None:
        """Carry a command out as if it had been typed: shown, and in the log."""
        self._cmd.do(line)

    def quietly(self, line: str) -> None:
        """Carry out one of many steps of an action, such as of a slider that is dragged."""
        self._cmd.do(line, log=0, echo=0)
