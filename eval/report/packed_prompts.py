"""What each judge was asked, small enough for a page: texts that are there already are named, not repeated."""

import json
from collections.abc import Mapping
from typing import Any

from eval.judging.judgment import Judgment

SHORTEST = 40  # characters of a text that is worth a name

Part = str | list[Any]
"""A piece of a prompt: its text, or where in the question's texts it is: [`turns` | `references`, place] or
[`answers`, model, turn], all from 0."""


class PackedPrompts:
    """Prompts of a page.

    Attributes:
        settings: what judgments have in common: (version of the instructions, parameters of the request, instructions).
    """

    def __init__(self) -> None:
        self.settings: list[tuple[str, dict[str, Any], str]] = []
        self._places: dict[str, int] = {}

    def pack(self, judgment: Judgment, detail: Mapping[str, Any], place: Mapping[str, int]) -> list[Any] | None:
        """(place in `settings`, parts of the last message), or None where it isn't known what the judge read.

        Args:
            judgment: of the question.
            detail: the question's texts as the page has them.
            place: of the models in it.
        """
        if not judgment.prompt:
            return None
        *instructions, material = judgment.prompt
        setting = (judgment.prompt_version, judgment.parameters, "\n\n".join(instructions))
        key = json.dumps(setting, sort_keys=True)
        if key not in self._places:
            self._places[key] = len(self.settings)
            self.settings.append(setting)
        return [self._places[key], _parts(material, _texts(judgment, detail, place))]


def _texts(judgment: Judgment, detail: Mapping[str, Any], place: Mapping[str, int]) -> list[tuple[str, list[Any]]]:
    """The question's texts that the judge may have been shown, longest first, each with its name."""
    found = [(text, [kind, at]) for kind in ("turns", "references") for at, text in enumerate(detail[kind])]
    for model in judgment.models:
        answer = detail["answers"][place[model]]
        found += [(text, ["answers", place[model], at]) for at, text in enumerate(answer[0] if answer else ())]
    return sorted((item for item in found if len(item[0]) >= SHORTEST), key=lambda item: -len(item[0]))


def _parts(text: str, named: list[tuple[str, list[Any]]]) -> list[Part]:
    parts: list[Part] = [text]
    for known, name in named:
        split: list[Part] = []
        for part in parts:
            pieces = part.split(known) if isinstance(part, str) else []
            if len(pieces) < 2:
                split.append(part)
                continue
            for piece in pieces:
                split += [piece, name]
            split.pop()
        parts = [part for part in split if part != ""]
    return parts
