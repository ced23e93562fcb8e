"""Templates against their published renderings, character by character, and against their own Jinja."""

from pathlib import Path
from random import Random

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from camelid.errors import UserError
from camelid.message import Conversation, Message
from conversations.formats.alpaca import from_alpaca
from conversations.tokens.template import TEMPLATES, get_template

SYSTEM = "A chat between a curious user and an artificial intelligence assistant. "
SYSTEM += "The assistant gives helpful, detailed, and polite answers to the user's questions."


def chat(*texts: str, system: str | None = None) -> Conversation:
    turns = [Message("assistant" if index % 2 else "user", text) for index, text in enumerate(texts)]
    return Conversation("c", (Message("system", system), *turns) if system is not None else tuple(turns))


def render(name: str, conversation: Conversation) -> str:
    return "".join(span.text for span in get_template(name).spans(conversation))


def prompt(name: str, conversation: Conversation) -> str:
    return "".join(span.text for span in get_template(name).prompt(conversation.messages))


def test_vicuna() -> None:
    published = f"{SYSTEM} USER: Hello! ASSISTANT: Hi.</s>USER: Bye ASSISTANT:"
    assert prompt("vicuna_v1.1", chat("Hello!", "Hi.", "Bye")) == published
    assert render("vicuna_v1.1", chat("Hello!", "Hi.")) == f"{SYSTEM} USER: Hello! ASSISTANT: Hi.</s>"


def test_alpaca_both_forms() -> None:
    plain = from_alpaca({"instruction": "Add.", "input": "", "output": "3"}, "x")
    assert render("alpaca", plain) == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nAdd.\n\n### Response:3</s>"
    )
    with_input = from_alpaca({"instruction": "Add.", "input": "1 2", "output": "3"}, "x")
    assert render("alpaca", with_input) == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:3</s>"
    )


def test_llama_2() -> None:
    assert render("llama-2", chat("Hello!", "Hi.", "Bye", "So long.", system="Be kind.")) == (
        "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHello! [/INST] Hi. </s><s>[INST] Bye [/INST] So long. </s>"
    )
    assert prompt("llama-2", chat("Hello!")) == "<s>[INST] Hello! [/INST]"


def test_llama_3() -> None:
    assert prompt("llama-3", chat("Hello!", "Hi.", "Bye", system="Be kind.")) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHello!<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHi.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_mistral() -> None:
    assert render("mistral", chat("Hello!", "Hi.", "Bye", "So long.", system="Be kind.")) == (
        "<s>[INST] Be kind.\n\nHello![/INST] Hi.</s>[INST] Bye[/INST] So long.</s>"
    )
    assert prompt("mistral", chat("Hello!")) == "<s>[INST] Hello![/INST]"


def test_chatml() -> None:
    assert prompt("chatml", chat("Hello!", "Hi.", "Bye", system="Be kind.")) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello!<|im_end|>\n"
        "<|im_start|>assistant\nHi.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("name", ["llama-2", "llama-3", "chatml", "mistral"])
def test_the_hubs_chat_template_renders_the_same(name: str) -> None:
    file = f"{name}-v0.3.jinja" if name == "mistral" else f"{name}.jinja"
    source = (Path(__file__).parent / "chat_templates" / file).read_text(encoding="utf-8")
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    compiled, rng = environment.from_string(source), Random(name)
    tokens = {"bos_token": "<|begin_of_text|>" if name == "llama-3" else "<s>", "eos_token": "</s>"}
    for _ in range(300):
        texts = [
            "".join(rng.choices(["", " ", "\n", "a b", "'", "日本", "[INST]"], k=3)) for _ in range(rng.randint(1, 6))
        ]
        system = rng.choice([None, "Be kind.", " kind \n", ""])
        if name == "mistral":  # it leaves blanks around questions, and puts the system message into the last one
            texts, system = [text.strip() for text in texts], system if len(texts) == 1 and system != "" else None
            system = system and "Be kind."
        conversation = chat(*texts, system=system)
        messages = [message.to_json() for message in conversation.messages]
        waiting = len(texts) % 2 == 1
        text = compiled.render(messages=messages, add_generation_prompt=waiting, **tokens)
        assert (prompt if waiting else render)(name, conversation) == text


@pytest.mark.parametrize("name", sorted(TEMPLATES))
@pytest.mark.parametrize("system", [None, "Be 'kind'.\n", " "])
def test_jinja_renders_the_same(name: str, system: str | None) -> None:
    template = get_template(name)
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)  # as transformers does
    compiled = environment.from_string(template.jinja)
    for texts in (("Hello!",), ("Hello!", "Hi\n\n there'", " Bye "), ("a", "b", "c", "d"), ("", " ", "\n", "")):
        conversation = chat(*texts, system=system)
        messages = [message.to_json() for message in conversation.messages]
        waiting = len(texts) % 2 == 1
        text = compiled.render(messages=messages, bos_token="<s>", add_generation_prompt=waiting)
        bos = "<s>" if template.bos == "tokenizer" else ""
        assert text == bos + (prompt if waiting else render)(name, conversation)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_only_answers_and_their_end_of_turn_are_trained(name: str) -> None:
    template = get_template(name)
    trained = "".join(span.text for span in template.spans(chat("q1", "a1", "q2", "a2")) if span.weight)
    assert trained == "".join(f"{template.assistant_space}{a}{template.assistant_close}" for a in ("a1", "a2"))


def test_unknown_name_and_bad_order() -> None:
    with pytest.raises(UserError, match=r"did you mean 'vicuna_v1\.1'"):
        get_template("vicuna_v1")
    with pytest.raises(UserError, match="turn 2 is 'user', expected 'assistant'"):
        get_template("chatml").spans(Conversation("c", (Message("user", "a"), Message("user", "b"))))
    with pytest.raises(UserError, match="no user turn holds its system message"):
        get_template("llama-2").prompt([Message("system", "Be kind.")])
