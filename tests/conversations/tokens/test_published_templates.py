"""Chats with tools and thinking under published chat templates, against what transformers writes of them."""

import copy
import os
import random
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from camelid.errors import UserError
from conversations.tokens.jinja_template import JinjaTemplate
from conversations.tokens.span import loss_weight
from conversations.tokens.template import get_template, template_from_tokenizer
from conversations.tokens.tokenize import Encoder, Thinking
from tests.conversations.tokens.jinja_oracle import DATE, Published
from tests.conversations.tokens.test_tokenize import check_spans
from tests.conversations.tokens.tool_chats import chat

HERE = Path(__file__).parent / "chat_templates"
END, EOT, TURN = "<|im_end|>", "<|eot_id|>", "<end_of_turn>"
R1 = "<\uff5cend\u2581of\u2581sentence\uff5c>"
TRL, AXOLOTL = "trl/chat_templates", "axolotl/utils/chat_templates/templates"
# By family: the file in the package, and what is known of it. Llama 3.3 has Llama 3.1's.
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama 3.1, 3.3": (f"{TRL}/llama3_1.jinja", {"ends": (EOT,), "calls": 1}),
    "Llama 3.2": (f"{TRL}/llama3_2.jinja", {"ends": (EOT,), "calls": 1}),
    "Qwen2.5": (f"{TRL}/qwen2_5.jinja", {"ends": (END,), "calls": 2, "beside": True}),
    "Qwen3": (
        f"{TRL}/qwen3.jinja",
        {"ends": (END,), "calls": 2, "beside": True, "reasoning": "reasoning_content"},
    ),
    "Qwen3 2507": (f"{TRL}/qwen3_instruct_2507.jinja", {"ends": (END,), "calls": 2, "beside": True}),
    "Mistral Nemo": (f"{AXOLOTL}/mistral_v3_tekken.jinja", {"ends": ("</s>",), "calls": 2, "system": False}),
    "Mistral Small": (f"{AXOLOTL}/mistral_v7_tekken.jinja", {"ends": ("</s>",)}),
    "Gemma 2": (f"{TRL}/gemma.jinja", {"ends": (TURN,), "system": False}),
    "Gemma 3": (f"{TRL}/gemma3.jinja", {"ends": (TURN,)}),
    "DeepSeek-R1 distillations": (f"{TRL}/deepseek_r1_distill.jinja", {"ends": (R1,), "opened": True}),
    "gpt-oss": (
        f"{TRL}/gptoss.jinja",
        {"ends": ("<|return|>", "<|call|>"), "calls": 1, "reasoning": "thinking", "closing": "<|end|>"},
    ),
    "SmolLM3": ("SmolLM3.jinja", {"ends": (END,)}),
}
# Ours, by the Jinja that is saved with a model.
OURS: dict[str, dict[str, Any]] = {
    "chatml": {"ends": (END,), "calls": 2, "beside": True},
    "llama-3": {"ends": (EOT,), "calls": 1},
}
THINKING: tuple[Thinking, ...] = get_args(Thinking)


def fuzz(published: Published, count: int, seed: str, ours: str | None = None) -> Counter[str]:
    """Compare every document of so many chats with the oracle's, and every prompt; of one of our templates, or not."""
    family, rng, seen = published.family(), random.Random(seed), Counter[str]()
    tokenizer = family.tokenizer
    template = get_template(ours) if ours else JinjaTemplate(tokenizer)
    saved = copy.copy(tokenizer)
    saved.chat_template = template.jinja
    assert ("strftime_now" in published.source) == (template.date == DATE) and set(template.stop) <= set(published.ends)
    limits = {"system": published.system, "calls": published.calls, "beside": published.beside}
    encoders = [
        (
            thinking,
            Encoder(template, tokenizer, thinking=thinking),
            Encoder(template_from_tokenizer(saved), saved, thinking="train"),  # as a server has it
        )
        for thinking in THINKING
    ]
    for number in range(count):
        published._rendered.clear()
        one = chat(rng, **limits, thinking=0.5)
        thinking, encoder, serving = encoders[number % 3]
        try:
            documents = encoder.documents(one)
        except UserError as error:
            seen[f"refused: {str(error).partition(': ')[2][:60]}"] += 1
            continue
        trained = Counter[int]()
        for document in documents:
            spans, standing = published.spans(tokenizer, document, thinking)
            seen["cuts"] += check_spans(family, encoder, document, spans)
            ids = encoder.encode(document).ids.tolist()
            for index, message in enumerate(document.messages):
                if message.role == "assistant" and loss_weight(message):
                    assert index in standing
                    trained[index] += 1
                    prompt = serving.encode_prompt(document.messages[:index], document.tools)
                    assert ids[: len(prompt)] == prompt
                    if number % 10 == 0:
                        assert prompt == encoder.encode_prompt(document.messages[:index], document.tools)
                    seen["answers"] += 1
        assert trained == Counter(index for index, message in enumerate(one.messages) if loss_weight(message))
        seen["documents"] += len(documents)
    return seen


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two packages that carry published templates; nothing of them is kept."""
    folder = tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder)]
    if subprocess.run([*command, "trl==1.16.0", "axolotl==0.19.0"], check=False).returncode:
        pytest.skip("no package index")
    for wheel in folder.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder)
    return folder


def published(name: str, packages: Path) -> Published:
    file, facts = PUBLISHED[name]
    path = packages / file
    if not path.is_file():  # in no package
        path = Path(os.environ.get("CAMELID_CHAT_TEMPLATES", "")) / file
        if not path.is_file():
            pytest.skip(f"no {file} in CAMELID_CHAT_TEMPLATES")
    return Published(path.read_text(encoding="utf-8"), **facts)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_two_thousand_chats(name: str, packages: Path) -> None:
    seen = fuzz(published(name, packages), 2000, name)
    print(name, dict(seen))
    assert seen["answers"] > 2000 and sum(count for what, count in seen.items() if "refused" in what) < 40, seen


# What Qwen3's and DeepSeek's templates do, in small: thinking stands after the last question alone, or is begun by the
# prompt and left out.
STRIPPING = """{% set ns = namespace(asked=0) %}{% if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.asked = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and loop.index0 > ns.asked %}<think>
{{ m.reasoning_content or '' }}
</think>

{% endif %}{{ m.content }}{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}
{{ c.function.arguments | tojson }}</call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
OPENED = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content.split('</think>')[-1] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""
SMALL: dict[str, Published] = {
    "stripping": Published(STRIPPING, (END,), "reasoning_content", calls=2, beside=True),
    "opened": Published(OPENED, (END,), opened=True),
    "dated": Published((HERE / "llama-3.2.jinja").read_text(encoding="utf-8"), (EOT,)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_two_thousand_chats_of_ours(name: str) -> None:
    seen = fuzz(Published(get_template(name).jinja, **OURS[name]), 2000, name, name)
    print(name, dict(seen))
    assert seen["answers"] > 2000 and not [what for what in seen if "refused" in what], seen


@pytest.mark.parametrize("name", SMALL)
def test_some_chats(name: str) -> None:
    seen = fuzz(SMALL[name], 45, name)
    assert seen["answers"] > 45 and not [what for what in seen if "refused" in what], seen
