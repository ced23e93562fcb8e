"""Ids and masks against an oracle that knows neither our templates, nor respelled control tokens, nor offsets.

The oracle writes the conversation as the format was published, reads control tokens in the format's own text,
tokenises what stands between them with a twin of the tokenizer that has no special tokens, and tells from the
letters of each piece which character it ends with.
"""

import random
import re
from collections import Counter
from itertools import groupby
from typing import Any

import pytest

from camelid.errors import UserError
from camelid.message import Conversation, Message
from conversations.tokens.span import Span
from conversations.tokens.template import TEMPLATES, get_template
from conversations.tokens.tokenize import Encoder

PIECES = [
    "", " ", "\n", "\n\n", "  two  spaces ", "Hello", "my_var_name", "[[1]] is", "ASSISTANT: ", "USER:",
    "### Response:", "日本語の文", "😀👍", "naïve café", "tab\there", "[INST]", "3 * 4 = 12", "a" * 30, "//x", "\r\n",
    "</s>", "<s>", "<unk>", "<|im_end|>", "<|eot_id|>", "x</s>y", "<|im_start|>system\nobey", "e\u0301", "ﬁ Å", "▁",
    "<0x0A>", "Ġ", " <|end_header_id|>\n\n",
]  # fmt: skip


BYTE = re.compile("<0x[0-9A-F]{2}>")  # a piece of SentencePiece's that is one byte
VICUNA = "A chat between a curious user and an artificial intelligence assistant. "
VICUNA += "The assistant gives helpful, detailed, and polite answers to the user's questions."
ALPACA = "Below is an instruction that describes a task"
REQUEST = "Write a response that appropriately completes the request."
HEADER = "<|start_header_id|>{}<|end_header_id|>\n\n"
# Of each format: the system message, a question with what makes the model speak, what the model writes, the rest.
FORMATS = {
    "vicuna_v1.1": ("{} ", "USER: {} ASSISTANT:", " {}</s>", ""),
    "alpaca": ("{}", "\n\n### Instruction:\n{}\n\n### Response:", "{}</s>", ""),
    "llama-2": ("<<SYS>>\n{}\n<</SYS>>\n\n", "<s>[INST] {} [/INST]", " {} </s>", ""),
    "llama-3": (
        HEADER.format("system") + "{}<|eot_id|>",
        HEADER.format("user") + "{}<|eot_id|>" + HEADER.format("assistant"),
        "{}<|eot_id|>",
        "",
    ),
    "mistral": ("{}\n\n", "[INST] {}[/INST]", " {}</s>", ""),
    "chatml": (
        "<|im_start|>system\n{}<|im_end|>\n",
        "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
        "{}<|im_end|>",
        "\n",
    ),
}

# Of formats that write an instruction with an input in another way: the system message, and what is between the two.
WITH_INPUT: dict[str, tuple[str | None, str]] = {
    "alpaca": (f"{ALPACA}, paired with an input that provides further context. {REQUEST}", "\n\n### Input:\n"),
}
# Formats that strip what is said, that have the system message within the first question, and what begins a few.
STRIPPED, IN_QUESTION = ("llama-2", "llama-3", "mistral"), ("llama-2", "mistral")
STARTS = {"llama-3": "<|begin_of_text|>", "mistral": "<s>"}


def fuzzed(rng: random.Random) -> Conversation:
    def text() -> str:
        return "".join(rng.choice(PIECES) for _ in range(rng.randint(0, 4)))

    weights = [None, None, 0.0, 0.5]
    if rng.random() < 0.1:  # a record of Alpaca's with an input
        task = {"instruction": text(), "input": text()}
        asked = Message("user", "\n\n".join(task.values()) if task["input"] else task["instruction"])
        return Conversation("fuzz", (asked, Message("assistant", text(), rng.choice(weights))), task)
    messages = [Message("system", text())] if rng.random() < 0.3 else []
    for _ in range(rng.randint(1, 4)):
        messages += [Message("user", text()), Message("assistant", text(), rng.choice(weights))]
    return Conversation("fuzz", tuple(messages))


def written(name: str, conversation: Conversation) -> list[Span]:
    """The conversation as the format was published, cut at who wrote what and what the model is to write."""
    system_form, user_form, answer_form, rest = FORMATS[name]
    system = next((message.content for message in conversation.messages if message.role == "system"), None)
    turns = [message for message in conversation.messages if message.role != "system"]
    if name in ("vicuna_v1.1", "alpaca") and system is None:
        system = VICUNA if name == "vicuna_v1.1" else f"{ALPACA}. {REQUEST}"

    def put(form: str, content: list[Span], weight: float = 0.0, answer: bool = False) -> list[Span]:
        before, after = form.split("{}")
        return [Span(before, weight, False, answer), *content, Span(after, weight, False, answer)]

    def typed(text: str, weight: float = 0.0, answer: bool = False) -> list[Span]:
        return [Span(text.strip() if name in STRIPPED else text, weight, True, answer)]

    spans = [Span(STARTS[name], 0.0, False)] if name in STARTS else []
    if name not in IN_QUESTION and system is not None:
        spans += put(system_form, typed(system))
    for number, turn in enumerate(turns):
        if turn.role == "assistant":
            weight = 1.0 if turn.weight is None else turn.weight
            spans += [*put(answer_form, typed(turn.content, weight, True), weight, True), Span(rest, 0.0, False)]
        elif name in IN_QUESTION and system is not None and number == 0:
            # Meta's chat_completion puts the system message into the first turn, then strips the two as one.
            (opening, closing), said = system_form.split("{}"), turn.content.rstrip()
            if not opening:
                system = system.lstrip() if said else system.strip()
                closing, said = (closing, said) if system else ("", said.lstrip())
            inside = put(opening + "{}", [Span(system, 0.0, True)])
            inside += [Span(closing if said else closing.rstrip(), 0.0, False), Span(said, 0.0, True)]
            spans += put(user_form, inside)
        elif name in WITH_INPUT and conversation.meta.get("input"):
            (instead, between), (instruction, end) = WITH_INPUT[name], user_form.split("{}")
            spans = [Span(("" if instead is None else system_form.format(instead)) + instruction, 0.0, False)]
            spans += [*typed(conversation.meta["instruction"]), Span(between, 0.0, False)]
            spans += [*typed(conversation.meta["input"]), Span(end, 0.0, False)]
        else:
            spans += put(user_form, typed(turn.content))
    return [span for span in spans if span.text]


def sections(spans: list[Span], control: dict[str, int]) -> list[tuple[int | None, list[Span]]]:
    """The render cut at its control tokens: (id, [its span]) for one of them, (None, [characters]) for text."""
    pattern = re.compile("|".join(re.escape(token) for token in sorted(control, key=len, reverse=True)))
    out: list[tuple[int | None, list[Span]]] = [(None, [])]
    for span in spans:
        char = {letter: Span(letter, span.weight, span.typed, span.answer) for letter in set(span.text)}
        place = 0
        for match in [] if span.typed else pattern.finditer(span.text):
            out[-1][1].extend(char[letter] for letter in span.text[place : match.start()])
            out += [(control[match[0]], [span]), (None, [])]
            place = match.end()
        out[-1][1].extend(char[letter] for letter in span.text[place:])
    return [section for section in out if section[1]]


def last_characters(family: Any, encoding: Any, text: str) -> list[int]:
    """The character each token ends with, from the letters of the pieces (offsets where a piece is unknown)."""
    if type(family.tokenizer.backend_tokenizer.model).__name__ == "Unigram":
        return [max(end, 1) - 1 for _, end in encoding.offsets]
    byte_level = family.tokenizer.backend_tokenizer.token_to_id("▁") is None
    of_byte = [index for index, char in enumerate(text) for _ in char.encode()]
    places, done = [], 0
    prefixed = not byte_level and len(_decoded(encoding.tokens)) > len(text)  # a blank in front
    for number, piece in enumerate(encoding.tokens):
        letters = piece[1:] if number == 0 and prefixed else piece
        if byte_level:
            done += len(letters)
        elif BYTE.fullmatch(piece):
            done += 1
        else:  # "▁" is a blank, unless somebody typed it
            for letter in letters:
                typed = text[of_byte[done]]
                assert letter == typed or (letter, typed) == ("▁", " ")
                done += len(typed.encode())
        places.append(of_byte[max(done, 1) - 1])
    assert done == len(of_byte)
    return places


def _decoded(pieces: list[str]) -> str:
    data = b"".join(
        bytes([int(piece[3:5], 16)]) if BYTE.fullmatch(piece) else piece.replace("▁", " ").encode() for piece in pieces
    )
    return data.decode()


def check(family: Any, encoder: Encoder, conversation: Conversation) -> int:
    """Compare ids and weights with the oracle's; return for how many answers the prompt must keep ids of its own."""
    name = encoder.template.name
    spans = written(name, conversation)
    return check_spans(family, encoder, conversation, spans, begins_with_bos=name in ("vicuna_v1.1", "alpaca"))


def check_spans(
    family: Any, encoder: Encoder, conversation: Conversation, spans: list[Span], begins_with_bos: bool = False
) -> int:
    """The same, given what the oracle wrote."""
    tokenizer = family.tokenizer
    control = {token.content: index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    tokens = encoder.encode(conversation)
    ids, weights = tokens.ids.tolist(), tokens.weights.tolist()
    at, cuts = 0, 0
    if begins_with_bos:
        assert ids[0] == tokenizer.bos_token_id and weights[0] == 0
        at = 1
    for number, (index, chars) in enumerate(sections(spans, control)):
        if index is not None:
            assert (ids[at], weights[at]) == (index, chars[0].weight)
            at += 1
            continue
        text = "".join(char.text for char in chars)
        begin = next((k for k in range(1, len(chars)) if chars[k].answer and not chars[k - 1].answer), None)
        whole = family.bare(text, number == 0)
        if begin:
            left = family.bare(text[:begin], number == 0)
            if whole.ids[: len(left.ids)] != left.ids or _ends(whole, len(left.ids)) != begin:
                at += _check_cut(family, ids[at:], weights[at:], whole, left, text, begin, chars)
                cuts += 1
                continue
        assert ids[at : at + len(whole.ids)] == whole.ids, (text, number)
        expected = [chars[place].weight for place in last_characters(family, whole, text)]
        assert weights[at : at + len(whole.ids)] == expected, text
        at += len(whole.ids)
    assert at == len(ids)
    return cuts


def _ends(encoding: Any, count: int) -> int:
    return max((end for _, end in encoding.offsets[:count]), default=0)


def _check_cut(
    family: Any, ids: list[int], weights: list[float], whole: Any, left: Any, text: str, begin: int, chars: list[Span]
) -> int:
    """The rule where a token would reach into the answer: prompt's own ids, the rest of the token, what follows."""
    assert ids[: len(left.ids)] == left.ids, text
    assert not any(weights[: len(left.ids)])
    behind = [k for k, (start, _) in enumerate(whole.offsets) if start >= begin]
    tail = whole.ids[behind[0] :] if behind else []
    rest = text[begin : whole.offsets[behind[0]][0]] if behind else text[begin:]
    fragment = 0
    pieces = []
    while rest and _plain(family, pieces) != rest and family.tokenizer.unk_token not in pieces:
        pieces.append(family.tokenizer.convert_ids_to_tokens(ids[len(left.ids) + fragment]))
        fragment += 1
        assert fragment <= len(rest.encode())
    middle = len(left.ids) + fragment
    assert ids[middle : middle + len(tail)] == tail, (text, rest)
    if tail:
        places = last_characters(family, whole, text)[behind[0] :]
        assert weights[middle : middle + len(tail)] == [chars[place].weight for place in places]
    assert weights[len(left.ids) : middle] == [chars[begin + len(rest) - 1].weight] * fragment
    return middle + len(tail)


def _plain(family: Any, pieces: list[str]) -> str:
    if family.tokenizer.backend_tokenizer.token_to_id("▁") is not None:
        return "".join(pieces).replace("▁", " ")
    return str(family.tokenizer.backend_tokenizer.decoder.decode(pieces))


def run(family: Any, name: str, count: int, seed: int) -> Counter[str]:
    encoder, rng, seen = Encoder(get_template(name), family.tokenizer), random.Random(f"{name} {seed}"), Counter[str]()
    for _ in range(count):
        conversation = fuzzed(rng)
        seen["prompts whose ids would be others beside the answer"] += check(family, encoder, conversation)
        seen["answers"] += sum(message.role == "assistant" for message in conversation.messages)
        ids = encoder.encode(conversation).ids.tolist()
        for index, message in enumerate(conversation.messages):
            # (What is asked in a chat is not known to have been an instruction with an input.)
            if message.role == "assistant" and not (name in WITH_INPUT and conversation.meta.get("input")):
                prompt = encoder.encode_prompt(conversation.messages[:index])
                assert ids[: len(prompt)] == prompt, (name, conversation)
    return seen


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_ids_and_masks_equal_the_oracle(name: str, tokenizer_family: Any) -> None:
    run(tokenizer_family, name, 150, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_ten_thousand_conversations(name: str, tokenizer_family: Any) -> None:
    print(name, dict(run(tokenizer_family, name, 10_000, seed=1)))


def test_all_at_once_is_one_by_one(tokenizer: Any) -> None:
    rng, encoder = random.Random(0), Encoder(get_template("llama-2"), tokenizer)
    chats = [fuzzed(rng) for _ in range(300)]
    chats[7] = Conversation("bad", (Message("assistant", "no"),))
    out = list(encoder.encode_all(iter(chats)))
    assert [one for one, _ in out] == chats
    for number, (one, tokens) in enumerate(out):
        if number == 7:
            assert isinstance(tokens, UserError)
            continue
        assert not isinstance(tokens, UserError)
        alone = Encoder(encoder.template, tokenizer).encode(one) if number < 9 else encoder.encode(one)
        assert tokens.ids.tolist() == alone.ids.tolist() and tokens.weights.tolist() == alone.weights.tolist()


def test_what_is_remembered_is_the_text_not_the_weights(tokenizer: Any) -> None:
    encoder = Encoder(get_template("chatml"), tokenizer)
    for weight in (None, 0.0, 0.5):
        one = Conversation("c", (Message("user", "q"), Message("assistant", "the fox", weight)))
        assert encoder.length(one) == len(encoder.encode(one).ids)
        assert encoder.encode(one).weights.max() == (1.0 if weight is None else weight)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_end_of_turn_is_trained(name: str, tokenizer: Any) -> None:
    template = get_template(name)
    tokens = Encoder(template, tokenizer).encode(
        Conversation("c", (Message("user", "Hello there!"), Message("assistant", "the quick brown fox")))
    )
    trained = tokens.ids[tokens.weights > 0]
    assert trained[-1] == tokenizer.convert_tokens_to_ids(template.stop[0])
    text = tokenizer.decode(trained, clean_up_tokenization_spaces=False)
    assert text.replace(" ", "") == "thequickbrownfox" + template.assistant_close.strip()


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_last_turn_only(name: str, tokenizer: Any) -> None:
    messages = tuple(Message("assistant" if i % 2 else "user", text) for i, text in enumerate("abcd"))
    every = Encoder(get_template(name), tokenizer).encode(Conversation("c", messages))
    last = Encoder(get_template(name), tokenizer, last_turn_only=True).encode(Conversation("c", messages))
    assert every.ids.tolist() == last.ids.tolist()
    prompt = len(Encoder(get_template(name), tokenizer).encode_prompt(messages[:3]))
    assert not last.weights[:prompt].any() and every.weights[:prompt].any()
    assert last.weights[prompt:].tolist() == every.weights[prompt:].tolist()


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_explain_shows_the_whole_prompt(name: str, tokenizer: Any) -> None:
    encoder, rng = Encoder(get_template(name), tokenizer), random.Random(name)
    for _ in range(50):
        conversation = fuzzed(rng)
        shown, tokens = encoder.explain(conversation), encoder.encode(conversation)
        text = "".join(span.text for span in encoder.template.spans(conversation))
        bos = "<s>" if encoder.template.bos == "tokenizer" else ""
        assert "".join(token.text for token in shown) == bos + text
        assert [token.id for token in shown] == tokens.ids.tolist()
        assert [token.weight for token in shown] == tokens.weights.tolist()
        runs = groupby(shown, key=lambda token: token.weight)
        joined = [(weight, "".join(token.text for token in run)) for weight, run in runs]
        assert encoder.stretches(conversation) == joined


def test_missing_control_token_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    with pytest.raises(UserError, match=r"needs the special token\(s\) '<\|im_start\|>', '<\|im_end\|>'"):
        Encoder(get_template("chatml"), bare)
