"""Magpie (Xu et al. 2024, "Alignment Data Synthesis from Scratch by Prompting Aligned LLMs with Nothing"): a chat model
completes its own empty user turn, then answers what it wrote; several turns if wanted.

The turn is left open as vLLM, SGLang and transformers do it: `continue_final_message` on an empty message of the user.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from camelid.files.ledger import Ledger
from camelid.message import Message
from camelid.models.llm import Request
from selfinstruct.methods.method import Method, MethodInputs
from selfinstruct.methods.parse import CUT_OFF
from selfinstruct.run import Candidate, GenerationRun
from selfinstruct.seeds import Task

if TYPE_CHECKING:
    from selfinstruct.keep.rouge import Similarity

OPEN_TURN: dict[str, Any] = {"add_generation_prompt": False, "continue_final_message": True}
# Section 2.1: instructions are sampled, answers are greedy. The lengths are ours.
INSTRUCTION_TEMPERATURE, INSTRUCTION_TOKENS = 1.0, 512
ANSWER_TEMPERATURE, ANSWER_TOKENS = 0.0, 2048
ROUND = 32  # instructions asked for between two looks at what is kept; not the concurrency: runs can be replayed
NO_ANSWER = "no answer: no reply"


@dataclass
class _OpenChat:
    """A conversation under way."""

    number: int
    similarity: "Similarity"
    messages: list[Message]
    model: str = ""
    fault: str | None = None


async def generate_magpie(run: GenerationRun, seed: int, turns: int = 1) -> None:
    """Make `run.count` records.

    Args:
        run: takes the records; those of several turns have all of them as `messages`.
        seed: of the sampling.
        turns: of the user in each record.
    """
    run.instructions = Ledger("instructions")
    number = barren = 0
    while not run.ended:
        before, size = len(run.records), min(ROUND, run.count - len(run.records))
        chats = await _open_chats(run, [_open_request((), seed, place) for place in range(number, number + size)])
        number += size
        for turn in range(1, turns + 1):
            if turn > 1:
                await _ask_again(run, chats, seed + turn)
            await _answer(run, chats)
        await run.keep_passing([_candidate(chat, turns) for chat in chats], together=True)
        barren = 0 if len(run.records) > before else barren + size
        if barren >= run.barren and not run.ended:
            run.stopped = f"{barren} instructions gave no new record; the ledger says why"


async def _open_chats(run: GenerationRun, requests: Sequence[Request]) -> list[_OpenChat]:
    """New instructions that pass their filters, each the beginning of a chat."""
    replies = await run.answers(requests)
    assert run.instructions
    numbers: dict[str, int] = {}
    texts = []
    for number, reply in replies.items():
        text = reply.text.strip()
        if reply.finish_reason == "length":
            run.instructions.drop(CUT_OFF, example=text)
            continue
        numbers.setdefault(text, number)
        texts.append(text)
    kept = run.keep_instructions(texts)
    return [_OpenChat(numbers[text], similarity, [Message("user", text)]) for text, similarity in kept]


async def _ask_again(run: GenerationRun, chats: Sequence[_OpenChat], seed: int) -> None:
    """The user's next turn in each chat that is whole so far."""
    going = [chat for chat in chats if not chat.fault]
    replies = await run.answers([_open_request(chat.messages, seed, chat.number) for chat in going])
    for chat in going:
        reply = replies.get(chat.number)
        if reply is None or not reply.text.strip() or reply.finish_reason == "length":
            chat.fault = "no further turn"
        else:
            chat.messages.append(Message("user", reply.text.strip()))


async def _answer(run: GenerationRun, chats: Sequence[_OpenChat]) -> None:
    """The assistant's turn in each chat, unless answers are asked for elsewhere."""
    going = [chat for chat in chats if not chat.fault and not run.answerer]
    requests = [
        Request(tuple(chat.messages), ANSWER_TEMPERATURE, max_tokens=ANSWER_TOKENS, seed=0, sample=chat.number)
        for chat in going
    ]
    replies = await run.answers(requests)
    for chat in going:
        reply = replies.get(chat.number)
        chat.fault = NO_ANSWER if reply is None else CUT_OFF if reply.finish_reason == "length" else None
        if reply:
            chat.model = reply.model
            chat.messages.append(Message("assistant", reply.text.strip()))


def _open_request(messages: Sequence[Message], seed: int, number: int) -> Request:
    return Request(
        (*messages, Message("user", "")),
        INSTRUCTION_TEMPERATURE,
        max_tokens=INSTRUCTION_TOKENS,
        seed=seed,
        sample=number,
        extra=OPEN_TURN,
    )


def _candidate(chat: _OpenChat, turns: int) -> Candidate:
    output = chat.messages[1].content if len(chat.messages) > 1 else ""
    facts = {"messages": [message.to_json() for message in chat.messages]} if turns > 1 else {}
    task = Task(chat.messages[0].content, "", output)
    return Candidate(task, chat.number, chat.model, chat.fault, chat.similarity, facts)


async def _generate(run: GenerationRun, inputs: MethodInputs) -> None:
    await generate_magpie(run, inputs.seed, inputs.turns)


MAGPIE = Method("magpie", "a chat model completes its own empty user turn", _generate, offline=True, has_turns=True)
