"""What an answer shall look like, as requests say it, as a grammar."""

import json
import re
from collections.abc import Callable
from typing import Any

from finetune.generate.grammar import Grammar, GrammarError, GrammarTokenizer
from finetune.serve.errors import ApiError

# One way to write a value, as Python's `json.dumps` does, so that no answer is blanks without end.
JSON_OPTIONS: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
UNKNOWN_KEYS = re.compile(r'Unimplemented keys: \["(.+?)"')


def grammar_of_schema(schema: dict[str, Any], tokenizer: GrammarTokenizer, param: str) -> Grammar:
    """JSON that a schema describes.

    Args:
        schema: of JSON Schema, draft 2020-12.
        tokenizer: of the model.
        param: the request's field, for errors.

    Raises:
        ApiError: a keyword that cannot be kept to, or no valid schema.
    """
    return _compiled(lambda: json_source(schema), tokenizer, param)


def grammar_of_regex(regex: str, tokenizer: GrammarTokenizer) -> Grammar:
    """Text that a regular expression matches from its beginning to its end.

    Raises:
        ApiError: no regular expression of Rust's syntax, which has no look-around and no back-references.
    """
    from llguidance import LLMatcher

    return _compiled(lambda: LLMatcher.grammar_from_regex(regex), tokenizer, "regex")


def grammar_of_lark(lark: str, tokenizer: GrammarTokenizer, param: str) -> Grammar:
    """Text that a grammar in llguidance's dialect of Lark describes; see `grammar_of_schema`."""
    from llguidance import LLMatcher

    return _compiled(lambda: LLMatcher.grammar_from_lark(lark), tokenizer, param)


def json_source(schema: dict[str, Any]) -> str:
    """A schema as llguidance's source."""
    from llguidance import LLMatcher

    source: str = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=JSON_OPTIONS)
    return source


def _compiled(source: Callable[[], str], tokenizer: GrammarTokenizer, param: str) -> Grammar:
    try:
        return Grammar(source(), tokenizer)
    except (GrammarError, ValueError) as error:
        raise ApiError(400, f"Invalid value for '{param}': {_reason(str(error))}", "invalid_value", param) from None


def _reason(error: str) -> str:
    """The line of llguidance's message that says what is wrong."""
    unknown = UNKNOWN_KEYS.search(error)
    if unknown:
        return f"the keyword '{unknown[1]}' is not supported"
    lines = error.strip().split("\n")
    return next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[0])
