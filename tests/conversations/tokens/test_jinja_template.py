"""Published chat templates, as their tokenizers carry them: spans, masks, and what is refused."""

import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from camelid.errors import UserError
from camelid.message import Conversation, Message
from conversations.tokens.jinja_template import JinjaTemplate
from conversations.tokens.template import TEMPLATES, template_for, template_from_tokenizer
from conversations.tokens.tokenize import Encoder

PUBLISHED = Path(__file__).parent / "chat_templates"
# What the model is to write for an answer " Hi\n", read off the published templates by hand; and whether a system
# message is taken.
WRITES = {
    "chatml": (" Hi\n<|im_end|>", True),
    "gemma": ("Hi<end_of_turn>", False),
    "llama-2": (" Hi </s>", True),
    "llama-3": ("Hi<|eot_id|>", True),
    "llama-3.1": ("Hi<|eot_id|>", True),
    "mistral-v0.1": (" Hi\n</s>", False),
    "mistral-v0.3": (" Hi</s>", False),
    "phi-3": (" Hi\n<|end|>", True),
    "qwen2": (" Hi\n<|im_end|>", True),
    "qwen2.5": (" Hi\n<|im_end|>", True),
    "zephyr": (" Hi\n</s>", True),
}
SPECIAL = [
    "<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<start_of_turn>", "<end_of_turn>",
]  # fmt: skip
PHI_3 = ["<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
TEXTS = ["", "Hello!", " two\n\nlines ", "\n", "日本 😀", "[INST] x [/INST]", "a </s> b", "<|im_end|>", "{{ 1 }}", "  "]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend.train_from_iterator(["user assistant system Hello there\n\n\n\nthe quick brown fox"] * 5, trainer)
    # As in Phi-3's tokenizer.json: these swallow the blanks behind them.
    backend.add_special_tokens([AddedToken(token, special=True, rstrip=True, normalized=False) for token in PHI_3])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def carrying(tokenizer: Any, name: str) -> Any:
    tokenizer.chat_template = (PUBLISHED / f"{name}.jinja").read_text(encoding="utf-8")
    return tokenizer


def chat(*texts: str, system: str | None = None) -> Conversation:
    turns = [Message("assistant" if index % 2 else "user", text) for index, text in enumerate(texts)]
    return Conversation("c", (Message("system", system), *turns) if system is not None else tuple(turns))


def render(tokenizer: Any, messages: Any, **options: Any) -> str:
    records = [{"role": message.role, "content": message.content} for message in messages]
    text = tokenizer.apply_chat_template(records, tokenize=False, **options)
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("name", sorted(WRITES))
def test_answers_and_their_end_of_turn_are_trained(tokenizer: Any, name: str) -> None:
    writes, system = WRITES[name]
    template = JinjaTemplate(carrying(tokenizer, name))
    assert template.stop == (writes.split("Hi")[1].strip(),)
    conversation = chat(" q ", " Hi\n", "q2", " Hi\n", system=" Be kind. " if system else None)
    assert "".join(span.text for span in template.spans(conversation) if span.weight) == writes * 2
    tokens = Encoder(template, tokenizer).encode(conversation)
    trained = tokenizer.decode(tokens.ids[tokens.weights > 0], clean_up_tokenization_spaces=False)
    swallowed = name in ("phi-3", "zephyr")  # the blank belongs to the token <|assistant|>
    assert trained == (writes.lstrip() if swallowed else writes) * 2
    if not system:
        with pytest.raises(UserError, match="system"):
            template.spans(chat("q", "a", system="Be kind."))


@pytest.mark.parametrize("name", sorted(WRITES))
def test_spans_are_the_render_and_prompts_their_beginning(tokenizer: Any, name: str) -> None:
    template = JinjaTemplate(carrying(tokenizer, name))
    encoder, rng, compared = Encoder(template, tokenizer), random.Random(name), 0
    for _ in range(80):
        texts = ["".join(rng.choices(TEXTS, k=rng.randint(0, 3))) for _ in range(2 * rng.randint(1, 4))]
        system = rng.choice([None, "Be kind.", " s\n"]) if WRITES[name][1] else None
        if name == "llama-2" and system is not None and not texts[0].strip():
            continue  # it trims its own blank lines away with an empty question: refused, see below
        conversation = chat(*texts, system=system)
        text = render(tokenizer, conversation.messages)
        assert "".join(span.text for span in template.spans(conversation)) == text
        tokens, prompts = encoder.encode(conversation), []
        for index, message in enumerate(conversation.messages):
            if message.role == "assistant":
                prompt = conversation.messages[:index]
                written = "".join(span.text for span in template.prompt(prompt))
                assert text.startswith(written) and written.startswith(
                    render(tokenizer, prompt, add_generation_prompt=True)
                )
                prompts.append(written)
                ids = encoder.encode_prompt(prompt)
                assert tokens.ids[: len(ids)].tolist() == ids
        if any(control in content for content in texts for control in (*SPECIAL, *PHI_3)):
            continue
        # transformers' own ids, but where they contradict the prompt's
        plain = tokenizer(text, add_special_tokens=False)["input_ids"]
        alone = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
        if all(plain[: len(ids)] == ids for ids in alone):
            assert tokens.ids.tolist() == plain
            compared += 1
    assert compared >= 1


def test_a_control_token_that_swallows_blanks_keeps_its_weight(tokenizer: Any) -> None:
    template = JinjaTemplate(carrying(tokenizer, "phi-3"))
    tokens = Encoder(template, tokenizer).encode(chat("q", "the fox", "q", "the fox"))
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert tokens.weights[tokens.ids == end].tolist() == [0, 1, 0, 1]
    assert not tokens.weights[tokens.ids == tokenizer.convert_tokens_to_ids("<|assistant|>")].any()


def test_an_empty_thought_the_template_adds_is_the_models_to_write(tokenizer: Any) -> None:
    template = JinjaTemplate(carrying(tokenizer, "qwen3"))
    thought = "<think>\n\n</think>\n\n"
    parts = Encoder(template, tokenizer).documents(chat("q", "a", "q", "b"))
    found = ["".join(span.text for span in template.spans(part) if span.weight) for part in parts]
    assert found == [f"{thought}a<|im_end|>", f"{thought}b<|im_end|>"]
    with pytest.raises(UserError, match="changes the content of message 2"):
        template.spans(chat("q", "<think>\nhm\n</think>\n\na", "q", "b"))


BODY = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
ASK = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ strftime_now(messages[0].content) }}" + BODY + ASK, "a form that is made up as it goes"),
        (BODY.replace("content", "content | upper") + ASK, "changes the content of message 1"),
        (BODY.replace("content", "content | replace('e', '3')") + ASK, "changes the content of message 1"),
        (BODY.replace("content", "content + m.content") + ASK, "repeats message 1"),
        (BODY.replace("in messages", "in messages | reverse") + ASK, "moves message 2"),
        (BODY.replace("in messages", "in messages if m.role != 'system'") + ASK, "drops message 1"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}" + ASK, "no end-of-turn token"),
        (BODY + "{% if add_generation_prompt %}<|im_start|>bot\n{% endif %}", "not how the"),
        ("{{ raise_exception('never') }}", "never"),
        ("{{ messages[7].content }}", "cannot write"),
        ("", "no chat template"),
    ],
)
def test_what_cannot_be_derived_is_refused_with_the_reason(tokenizer: Any, source: str, reason: str) -> None:
    tokenizer.chat_template = source
    with pytest.raises(UserError, match=reason):
        JinjaTemplate(tokenizer).spans(chat("Hello there", "Hi", system="Be kind."))


def test_a_date_is_fixed_here_and_in_the_template_that_is_saved(tokenizer: Any) -> None:
    source = (PUBLISHED / "llama-3.2.jinja").read_text(encoding="utf-8")
    template = JinjaTemplate(carrying(tokenizer, "llama-3.2"))
    text = "".join(span.text for span in template.spans(chat("Hello there", "Hi")))
    assert "Today Date: 26 Jul 2024\n" in text and template.date == date(2024, 7, 26)
    assert template.jinja == source.replace('strftime_now("%d %b %Y")', '"26 Jul 2024"')
    tokenizer.chat_template = template.jinja
    assert render(tokenizer, chat("Hello there", "Hi").messages) == text
    assert JinjaTemplate(carrying(tokenizer, "llama-3.1")).date is None


def test_blanks_trimmed_beyond_the_content_are_refused(tokenizer: Any) -> None:
    template = JinjaTemplate(carrying(tokenizer, "llama-2"))
    with pytest.raises(UserError, match="message 1 or the text after it"):
        template.spans(chat(" ", "Hi", system="Be kind."))


def test_a_template_without_generation_prompt_is_asked_with_its_header(tokenizer: Any) -> None:
    tokenizer.chat_template = BODY
    template = JinjaTemplate(tokenizer)
    assert "".join(s.text for s in template.prompt(chat("q").messages)).endswith("<|im_start|>assistant\n")
    assert "".join(s.text for s in template.spans(chat("q", "a")) if s.weight) == "a<|im_end|>"


def test_the_name_tokenizer_means_its_own_template(tokenizer: Any) -> None:
    assert isinstance(template_for("tokenizer", carrying(tokenizer, "gemma")), JinjaTemplate)
    assert template_for("chatml", tokenizer) is TEMPLATES["chatml"]
    tokenizer.chat_template = TEMPLATES["llama-3"].jinja
    assert template_from_tokenizer(tokenizer) is TEMPLATES["llama-3"]


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_our_own_templates_are_derived_from_their_jinja_as_they_are_written(tokenizer: Any, name: str) -> None:
    """The derivation, knowing the Jinja alone, finds what the template's fields say."""
    if any(token not in SPECIAL for token in TEMPLATES[name].control):
        tokenizer.add_special_tokens({"additional_special_tokens": [*TEMPLATES[name].control]})
    tokenizer.chat_template = TEMPLATES[name].jinja
    derived, ours = JinjaTemplate(tokenizer), TEMPLATES[name]
    conversation = chat("q1", "a1", "q2\n", " a2", system="Be kind.")
    bos = "<s>" if ours.bos == "tokenizer" else ""
    for weight in (0.0, 1.0):
        found = "|".join(span.text for span in derived.spans(conversation) if span.weight == weight)
        said = "|".join(span.text for span in ours.spans(conversation) if span.weight == weight)
        assert found.replace("|", "") == (bos if not weight else "") + said.replace("|", "")
