"""Rewards that can be verified: 1 for an answer that is right, 0 for any other."""

import importlib.util
import json
import re
import shlex
import subprocess
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from camelid.errors import UserError
from camelid.files.write import dumps
from camelid.sandbox.reward import passing_reward
from finetune.ppo.prompts import PpoPrompt

COMMAND = "command:"
LONGEST = 3600  # seconds that a program may take for the answers of an iteration; what hangs must not hang the run
AT_ONCE = 4  # programs that are run at the same time
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


@dataclass(frozen=True)
class Answered:
    """What is to be rewarded.

    Attributes:
        prompt: what was asked.
        ids: the answer's tokens, the end token included if it came to its end.
        text: what they say.
        finished: whether it came to its end.
    """

    prompt: PpoPrompt
    ids: tuple[int, ...]
    text: str
    finished: bool

    def to_json(self) -> dict[str, Any]:
        """What a program of the user's is told."""
        messages = [message.to_json() for message in self.prompt.messages]
        finish: Literal["stop", "length"] = "stop" if self.finished else "length"
        return {"prompt": messages, "answer": self.text, "meta": self.prompt.meta, "finish_reason": finish}


Rewarder = Callable[[Sequence[Answered]], list[float]]


def exact_answers(answered: Sequence[Answered]) -> list[float]:
    r"""Whether each answer ends with `meta.answer`: in its last `\boxed{}`, as its last number, or as all of it.

    Numbers are compared as numbers, other texts without case and blanks.
    """
    return [float(_says(each.text, str(_wanted(each, "answer")))) for each in answered]


def valid_json(answered: Sequence[Answered]) -> list[float]:
    """Whether each answer is JSON, alone or in one fenced block, that `meta.schema` (JSON Schema) takes.

    Raises:
        UserError: a schema is none.
    """
    found = []
    for each in answered:
        schema = _wanted(each, "schema")
        kind = validator_for(schema)
        try:
            kind.check_schema(schema)
        except SchemaError as error:
            raise UserError(f"prompt {each.prompt.id}: meta.schema is no JSON Schema: {error.message}") from None
        fenced = re.fullmatch(r"\s*```(?:json)?\n(.*?)```\s*", each.text, re.DOTALL)
        try:
            found.append(float(kind(schema).is_valid(json.loads(fenced[1] if fenced else each.text))))
        except (ValueError, RecursionError):
            found.append(0.0)
    return found


def passing_tests(answered: Sequence[Answered]) -> list[float]:
    """Whether the code in each answer passes `meta.tests`, in the sandbox."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda each: passing_reward(each.text, str(_wanted(each, "tests"))), answered))


VERIFIABLE: dict[str, Rewarder] = {
    "exact": exact_answers,
    "json-schema": valid_json,
    "unit-tests": passing_tests,
}


def function_reward(where: str) -> Rewarder:
    """A Python function `FILE.py:NAME` of a prompt's messages, an answer and the prompt's `meta`; it returns a number.

    Raises:
        UserError: there is no such file or function, or it cannot be imported; when it is called: it failed.
    """
    file, _, name = where.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise UserError(f"reward {where!r}: no such file: {file}")
    spec = importlib.util.spec_from_file_location(f"camelid_reward_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _broken(where, error) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"reward {where!r}: {file} has no function {name!r}")

    def reward(answered: Sequence[Answered]) -> list[float]:
        found = []
        for each in answered:
            record = each.to_json()
            try:
                found.append(float(function(record["prompt"], record["answer"], record["meta"])))
            except Exception as error:  # all processes must hear of it, not this one alone
                raise _broken(where, error, f" for an answer to prompt {each.prompt.id}") from error
        return found

    return reward


def _broken(where: str, error: Exception, when: str = "") -> UserError:
    """What a file of the user's raised, and where."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename}, line {frame.lineno}"
    return UserError(f"reward {where!r} failed{when}: {type(error).__name__}: {error} ({place})")


def command_reward(where: str) -> Rewarder:
    """A program that reads answers, a JSON object a line, and prints a number a line.

    Raises:
        UserError: when it is called: it failed, took longer than `LONGEST`, or printed anything else.
    """
    command = shlex.split(where.removeprefix(COMMAND))

    def reward(answered: Sequence[Answered]) -> list[float]:
        given = "".join(dumps(each.to_json()) + "\n" for each in answered)
        try:
            done = subprocess.run(
                command, input=given, capture_output=True, text=True, encoding="utf-8", check=False, timeout=LONGEST
            )
        except OSError as error:
            raise UserError(f"reward {where!r}: {error}") from None
        except subprocess.TimeoutExpired:
            raise UserError(f"reward {where!r} took more than {LONGEST:,} s for {len(answered)} answers") from None
        if done.returncode:
            raise UserError(f"reward {where!r} ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
        lines = done.stdout.splitlines()
        try:
            found = [float(line) for line in lines]
        except ValueError:
            raise UserError(f"reward {where!r} printed something else than a number a line") from None
        if len(found) != len(answered):
            raise UserError(f"reward {where!r} printed {len(found)} numbers for {len(answered)} answers")
        return found

    return reward


def _wanted(answered: Answered, field: str) -> Any:
    meta = answered.prompt.meta
    if field not in meta:
        raise UserError(f"prompt {answered.prompt.id}: no meta.{field}, which this reward goes by")
    return meta[field]


def _says(text: str, wanted: str) -> bool:
    boxed = _BOXED.findall(text)
    said = boxed[-1] if boxed else text
    number = _as_number(wanted)
    if number is None:
        return " ".join(said.split()).casefold() == " ".join(wanted.split()).casefold()
    numbers = _NUMBER.findall(said)
    return bool(numbers) and _as_number(numbers[-1]) == number


def _as_number(text: str) -> float | None:
    try:
        return float(text.strip().replace(",", ""))
    except ValueError:
        return None
