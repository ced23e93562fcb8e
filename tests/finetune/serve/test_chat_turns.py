"""Chats in any order of roles are answered, as the chat that the model was trained with would be."""

from typing import Any

import openai
import pytest

from camelid.message import Message
from finetune.generate.decode import generate
from finetune.generate.sampling import Sampling
from finetune.serve.served import ServedModel
from tests.finetune.serve.serving import Running

SYSTEM, RED, DOG = ("system", "be kind"), ("user", "red cat"), ("user", "the dog sees")


def turns(*said: tuple[str, str]) -> Any:
    return [{"role": role, "content": text} for role, text in said]


def ask(running: Running, *said: tuple[str, str], **more: Any) -> str:
    client = openai.OpenAI(base_url=running.url, api_key="none", max_retries=0)
    reply = client.chat.completions.create(model="lively", messages=turns(*said), temperature=0, max_tokens=12, **more)
    return str(reply.choices[0].message.content)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ((RED, DOG), (("user", "red cat\n\nthe dog sees"),)),
        ((RED, ("user", " "), DOG), (("user", "red cat\n\nthe dog sees"),)),
        ((SYSTEM, ("developer", "be brief"), RED), (("system", "be kind\n\nbe brief"), RED)),
        ((RED, SYSTEM, ("assistant", "bird"), DOG), (SYSTEM, RED, ("assistant", "bird"), DOG)),
        ((("assistant", "bird"), RED), (("user", ""), ("assistant", "bird"), RED)),
        ((RED, ("assistant", "bird"), ("assistant", "tree"), DOG), (RED, ("assistant", "bird\n\ntree"), DOG)),
        ((RED, ("assistant", "bird"), SYSTEM), (RED, ("assistant", "bird"), ("user", "be kind"))),
        ((RED, ("assistant", " ")), (RED,)),
    ],
)
def test_any_order_of_roles(running: Running, served: ServedModel, sent: Any, meant: Any) -> None:
    chat: Any = [Message(role, text) for role, text in meant]
    prompt = served.encoder.encode_prompt(chat)
    sampling = Sampling(12, temperature=0)
    [truth] = generate(served.model, [prompt], [0], served.tokenizer, served.end_ids, sampling)
    assert ask(running, *sent) == truth.text.strip()


def test_speakers_with_names_keep_them(running: Running) -> None:
    named: Any = [{"role": "user", "content": "red cat", "name": name} for name in ("Ann", "Bob")]
    client = openai.OpenAI(base_url=running.url, api_key="none", max_retries=0)
    reply = client.chat.completions.create(model="lively", messages=named, temperature=0, max_tokens=12)
    assert reply.choices[0].message.content == ask(running, ("user", "Ann: red cat\n\nBob: red cat"))


@pytest.mark.parametrize("stream", [False, True])
def test_a_begun_answer_is_gone_on_with(running: Running, served: ServedModel, stream: bool) -> None:
    """Its prompt is the whole chat without its end of turn; what is said of it is the rest alone."""
    text = served.tokenizer.apply_chat_template(turns(RED, ("assistant", "the dog")), tokenize=False)
    ids = served.tokenizer(text[: text.rindex("the dog") + len("the dog")], add_special_tokens=False)["input_ids"]
    client = openai.OpenAI(base_url=running.url, api_key="none", max_retries=0)
    truth = client.completions.create(model="lively", prompt=ids, temperature=0, max_tokens=12).choices[0].text
    reply: Any = client.chat.completions.create(
        model="lively", messages=turns(RED, ("assistant", "the dog")), temperature=0, max_tokens=12, stream=stream
    )
    if stream:
        said = "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)
    else:
        said = reply.choices[0].message.content
        assert reply.usage.prompt_tokens == len(ids)
    assert said == truth.rstrip() and said
