"""Random chats with tools and thinking, in the record, and as transformers takes them."""

import json
import random
from collections.abc import Sequence
from typing import Any

from camelid.message import Conversation, Message, ToolCall

PIECES = [
    "", " ", "\n", "Hello", "two  gaps ", "日本", "😀", 'say "hi"', "back\\slash", "3.5", "</s>", "<|im_end|>",
    "<|eot_id|>", "[INST]", "x</s>y", "{{ 1 }}", "\n\n", "a.b/c", "<|end|>", "ASSISTANT:",
]  # fmt: skip
WEIGHTS = [None, None, 0.0, 0.5]


def text(rng: random.Random, least: int = 0) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(least, 4)))


def word(rng: random.Random) -> str:
    return rng.choice(["city", "look_up", "n", "unit", "get.weather", "q"])


def value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randint(0, 6 if depth < 2 else 4)
    if kind < 2:
        return text(rng)
    if kind < 5:
        return [rng.randint(-9, 99), rng.choice([True, False, None]), 2.5][kind - 2]
    if kind == 5:
        return [value(rng, depth + 1) for _ in range(rng.randint(0, 2))]
    return {word(rng): value(rng, depth + 1) for _ in range(rng.randint(0, 2))}


def tool(rng: random.Random) -> dict[str, Any]:
    named = {word(rng): {"type": rng.choice(["string", "integer"]), "description": text(rng)} for _ in range(2)}
    parameters = {"type": "object", "properties": named, "required": list(named)[:1]}
    return {
        "type": "function",
        "function": {"name": word(rng), "description": text(rng) or "It looks.", "parameters": parameters},
    }


def thought(rng: random.Random, share: float) -> str | None:
    return (text(rng, 1).strip() or "hm") if rng.random() < share else None


def exchange(rng: random.Random, calls: int, beside: bool, thinking: float) -> list[Message]:
    """A question and what follows, perhaps with calls: at most so many at once, with a text beside them or not."""
    turns = [Message("user", text(rng))]
    for step in range(rng.randint(0, 2) if calls else 0):
        called = tuple(
            ToolCall(word(rng), json.dumps({word(rng): value(rng)}, ensure_ascii=False), f"call{step:02}{number:03}")
            for number in range(rng.randint(1, calls))
        )
        said = text(rng) if beside and rng.random() < 0.5 else ""
        why = thought(rng, thinking if beside else 0)
        turns.append(Message("assistant", said, rng.choice(WEIGHTS), why, tool_calls=called))
        turns += [Message("tool", text(rng), tool_call_id=call.id) for call in called]
    return [*turns, Message("assistant", text(rng), rng.choice(WEIGHTS), thought(rng, thinking))]


def chat(
    rng: random.Random,
    *,
    system: bool = True,
    calls: int = 2,
    beside: bool = True,
    thinking: float = 0.5,
    turns: int = 3,
) -> Conversation:
    messages = [Message("system", text(rng))] if system and rng.random() < 0.4 else []
    for _ in range(rng.randint(1, turns)):
        messages += exchange(rng, calls, beside, thinking)
    tools = tuple(tool(rng) for _ in range(rng.randint(1, 2))) if calls and rng.random() < 0.8 else ()
    return Conversation("fuzz", tuple(messages), {}, tools)


def as_transformers(
    messages: Sequence[Message], reasoning: str | None = None, thinks: bool = True
) -> list[dict[str, Any]]:
    """As `apply_chat_template` takes them: OpenAI's names, the arguments as objects; thinking in a field, or inline."""
    found, named = [], {}
    for message in messages:
        one: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.reasoning and thinks and reasoning:
            one[reasoning] = message.reasoning
        elif message.reasoning and thinks:
            one["content"] = f"<think>\n{message.reasoning}\n</think>\n\n{message.content}"
        if message.tool_calls:
            one["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.loads(call.arguments)},
                }
                for call in message.tool_calls
            ]
            named = {call.id: call.name for call in message.tool_calls}
        if message.role == "tool":
            one |= {"tool_call_id": message.tool_call_id, "name": named[message.tool_call_id]}
        found.append(one)
    return found
