"""A hole in a text, filled through the official `openai` client and in the terminal."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from sentencepiece import SentencePieceProcessor

from camelid.app.cli import main
from camelid.errors import UserError
from finetune.generate.decode import Generated, generate
from finetune.generate.sampling import Sampling
from finetune.serve.infill_terminal import InfillTerminal
from finetune.serve.served import ServedModel, open_served
from finetune.serve.terminal import Terminal
from tests.conversations.tokens.llama_vocabulary import meta_prompt
from tests.finetune.serve.serving import serving

HOLES = [("def f(x):\n    return ", "\n\nprint(f(1))"), ("", "  world"), ("hello ", "")]


@pytest.fixture(scope="module")
def filling(filling_model: Path, one_thread: None) -> ServedModel:
    return open_served(filling_model, "code")


@pytest.fixture(scope="module")
def client(filling: ServedModel, served: ServedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving([filling, served], tmp_path_factory.mktemp("votes")) as server:
        yield openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)


def from_gold_ids(filling: ServedModel, prefix: str, suffix: str, seed: int) -> tuple[Generated, str]:
    """What the module generates from Meta's ids up to EOT, its text decoded by SentencePiece behind a letter.

    Without <unk>: SentencePiece writes a mark for it, transformers nothing, as for every special token.
    """
    model = SentencePieceProcessor(str(Path(filling.tokenizer.name_or_path) / "tokenizer.model"))
    ends = [model.piece_to_id("▁<EOT>"), model.eos_id()]
    prompt = meta_prompt(model, prefix, suffix, suffix_first=False)
    [answer] = generate(filling.model, [prompt], [seed], filling.tokenizer, ends, Sampling(40))
    known = [token for token in answer.ids if token != model.unk_id()]
    return answer, str(model.decode([*model.encode("x")[-1:], *known])).removeprefix("x")


@pytest.mark.parametrize(("prefix", "suffix"), HOLES)
def test_a_suffix_is_filled_from_the_gold_ids(
    client: openai.OpenAI, filling: ServedModel, prefix: str, suffix: str
) -> None:
    ends, blanks = set(), set()
    for seed in range(10):
        truth, text = from_gold_ids(filling, prefix, suffix, seed)
        ask: dict[str, Any] = {"model": "code", "prompt": prefix, "suffix": suffix, "seed": seed, "max_tokens": 40}
        reply = client.completions.create(**ask)
        assert (reply.choices[0].text, reply.choices[0].finish_reason) == (text, truth.finish_reason)
        streamed = client.completions.create(**ask, stream=True)
        assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == text
        ends.add(truth.finish_reason)
        blanks.add(text[:1] == " ")
    assert ends == {"stop", "length"} and blanks == {True, False}, "both must have been seen"


def test_a_middle_ends_at_eot(client: openai.OpenAI, filling: ServedModel) -> None:
    """And at no other sentinel."""
    assert not isinstance(filling.infill, UserError)
    assert filling.end_ids == [filling.tokenizer.eos_token_id, filling.infill.end_id]


def test_a_plain_completion_keeps_its_first_blank(client: openai.OpenAI, filling: ServedModel) -> None:
    """Prompt and completion are the text whose ids they are."""
    tokenizer, seen = filling.tokenizer, 0
    for seed in range(12):
        reply = client.completions.create(model="code", prompt="hello", seed=seed, max_tokens=4)
        [answer] = generate(
            filling.model, [tokenizer("hello").input_ids], [seed], tokenizer, filling.end_ids, Sampling(4)
        )
        whole = tokenizer.decode(tokenizer("hello").input_ids + answer.ids, skip_special_tokens=True)
        assert "hello" + reply.choices[0].text == whole
        seen += reply.choices[0].text.startswith(" ")
    assert seen


def test_a_model_without_the_tokens_says_so(client: openai.OpenAI) -> None:
    with pytest.raises(
        openai.BadRequestError, match=r"tokens '▁<PRE>', .* are missing.*camelid weights resize"
    ) as refused:
        client.completions.create(model="lively", prompt="a", suffix="b")
    assert refused.value.param == "suffix"


def test_token_ids_have_no_suffix(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="the prompt must be text, not token ids"):
        client.completions.create(model="code", prompt=[1, 2], suffix="b")


def test_a_hole_that_leaves_no_room_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="this model takes fewer than 256 tokens"):
        client.completions.create(model="code", prompt="a", suffix="b 1 " * 100)


def test_a_base_takes_no_chats(client: openai.OpenAI, filling: ServedModel) -> None:
    """It is served all the same: completions need no chat template."""
    why = "without a chat template takes no chats; name one with --template"
    with pytest.raises(openai.BadRequestError, match=why) as refused:
        client.chat.completions.create(model="code", messages=[{"role": "user", "content": "Hi"}])
    assert refused.value.param == "model"
    with pytest.raises(UserError, match=why):
        Terminal(filling, Sampling(8))


def fill(served: ServedModel, *texts: str) -> str:
    """What the terminal shows of texts that Ctrl-D ends."""
    lines = iter([line for text in texts for line in (*text.split("\n"), None)])

    def read(prompt: str) -> str:
        line = next(lines, None)
        if line is None:
            raise EOFError
        return line

    out = io.StringIO()
    assert InfillTerminal(served, Sampling(40), 0, read, out).run() == 0
    return out.getvalue()


def test_the_terminal_shows_texts_filled(filling: ServedModel) -> None:
    prefix, suffix = "def f(x):\n    return ", "\n\nprint(f(1))\n"
    middles = [from_gold_ids(filling, prefix, suffix, seed)[1] for seed in (0, 1)]
    text = prefix + "<FILL_ME>" + suffix.removesuffix("\n")
    assert fill(filling, text, text) == "".join(prefix + middle + suffix for middle in middles)
    with pytest.raises(UserError, match=r"must have <FILL_ME> in it, once; it has 0"):
        fill(filling, "no hole")


def test_chat_infill_wants_a_model_that_can(lively_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", str(lively_model), "--infill"]) == 2
    assert "tokens '▁<PRE>'" in capsys.readouterr().err
    assert main(["chat", str(lively_model), "--infill", "--system", "x"]) == 2
