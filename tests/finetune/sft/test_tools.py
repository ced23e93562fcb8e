"""A toy model trained on chats with a tool calls it for what it is asked, and answers with what it gave."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from camelid.message import Conversation, Message, ToolCall
from camelid.text.tool_calls import find_calls
from conversations.tokens.template import get_template
from finetune.folders import weights
from finetune.folders.open_folder import open_chat_tokenizer
from finetune.folders.tokenizer import train_tokenizer
from finetune.generate.decode import generate
from finetune.generate.sampling import Sampling
from finetune.llama.config import LlamaConfig
from tests.finetune.runs import run

pytestmark = pytest.mark.slow  # trains for a minute
THINGS = "key map cup hat pen box".split()
PLACES = "hall loft shed den attic yard".split()
PAIRS = [(thing, place) for thing in THINGS for place in PLACES]
HELD_OUT = PAIRS[::5]
FIND = {
    "type": "function",
    "function": {"name": "find", "parameters": {"type": "object", "properties": {"thing": {"type": "string"}}}},
}

# Hermes's calls, without its long words about them, so that the run is short.
TEMPLATE = """{% for t in tools or [] %}{{ t.function.name }}
{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def asked(thing: str) -> tuple[Message, ...]:
    return (Message("user", f"Where is the {thing}?"),)


def called(thing: str, place: str) -> tuple[Message, ...]:
    call = ToolCall("find", json.dumps({"thing": thing}))
    return (*asked(thing), Message("assistant", "", tool_calls=(call,)), Message("tool", f"in the {place}"))


def chat(thing: str, place: str) -> Conversation:
    return Conversation(thing, (*called(thing, place), Message("assistant", f"The {place}.")), {}, (FIND,))


def said(folder: Path, chats: list[tuple[Message, ...]]) -> list[str]:
    """What the tuned model answers to each, as a server asks it."""
    words, model = open_chat_tokenizer(folder), weights.load_model(folder).eval()
    prompts = [words.encoder.encode_prompt(messages, [FIND]) for messages in chats]
    answers = generate(model, prompts, [0] * len(chats), words.tokenizer, words.end_ids, Sampling(40, temperature=0))
    return [answer.text for answer in answers]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng, template = tmp_path_factory.mktemp("tools"), Random(0), get_template("chatml")
    shown = [pair for pair in PAIRS if pair not in HELD_OUT]
    records = [chat(*rng.choice(shown)) for _ in range(1500)]
    (folder / "chats.jsonl").write_text("".join(json.dumps(one.to_json()) + "\n" for one in records))
    texts = ["".join(span.text for span in template.spans(chat(*pair))) for pair in PAIRS]
    tokenizer: Any = train_tokenizer(texts, 900, template)
    config = LlamaConfig(len(tokenizer), 64, 128, 2, 4, max_position_embeddings=128)
    weights.save_model(weights.init_model(config, 0).state_dict(), config, folder / "untrained")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder / "untrained")
    recipe = {
        "model": {"path": str(folder / "untrained")},
        "data": {"train": [{"path": str(folder / "chats.jsonl")}], "max_length": 128, "template": "tokenizer"},
        "optim": {"lr": 4e-3, "global_batch": 16, "micro_tokens": 2048, "updates": 800, "betas": [0.9, 0.95]},
        "run": {"output": str(folder / "run"), "precision": "fp32", "checkpoint_every": 1000},
    }
    assert run(recipe) == 0
    return folder / "run" / "model"


def test_it_calls_the_tool_and_uses_what_it_gave(model: Path) -> None:
    calls = [find_calls(text) for text in said(model, [asked(thing) for thing in THINGS])]
    assert [call and call.calls for call in calls] == [chat(thing, "hall").messages[1].tool_calls for thing in THINGS]
    answers = said(model, [called(*pair) for pair in HELD_OUT])  # of pairs that it has not seen
    right = sum(text == f"The {place}." for text, (_, place) in zip(answers, HELD_OUT, strict=True))
    assert right >= 0.9 * len(HELD_OUT), answers
