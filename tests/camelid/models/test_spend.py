"""Money: counted, limited, foretold."""

import asyncio
import random
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import yaml

from camelid.errors import UserError
from camelid.message import Message
from camelid.models.failure_streak import PATIENCE
from camelid.models.llm import Failure, Reply, Request, Usage, complete_in_order
from camelid.models.model_run import ModelRun, sample_cost
from camelid.models.openai_api import OpenAIModel
from camelid.models.spend import (
    PRICES,
    TOKENS_A_MESSAGE,
    TOKENS_A_REPLY,
    CostEstimate,
    Meter,
    Price,
    SpendingLimits,
    estimate_before_asking,
    estimate_prompt_tokens,
    list_price,
    parse_price,
    reckon_tokens,
)
from tests.fake_openai import FakeOpenAI

PRICE = Price(1000.0, 2000.0)  # USD per million tokens: a word costs 0.1 or 0.2 cents


def request(number: int = 0, words: int = 20, **fields: Any) -> Request:
    return Request((Message("user", f"{number} " + "word " * (words - 1)),), sample=number, **fields)


def answer(body: dict[str, Any]) -> str:
    """5 to 15 words, by the request."""
    return "yes " * random.Random(body["messages"][-1]["content"]).randint(5, 15)


def open_run(server: FakeOpenAI, path: Path, concurrency: int = 8, **limits: Any) -> ModelRun:
    model = OpenAIModel("fake", server.url, concurrency, first_wait=0.01)
    return ModelRun(model, path / "journal.jsonl", concurrency, PRICE, **limits)


def ask(model: ModelRun, requests: list[Request]) -> list[Reply | Failure]:
    async def run() -> list[Reply | Failure]:
        async with aclosing(complete_in_order(model, requests, model.concurrency)) as results:
            return [result async for _, result in results]

    with model:
        return model.run(run())


def serve(**options: Any) -> FakeOpenAI:
    return FakeOpenAI(answer, price=(PRICE.prompt, PRICE.completion), **options)


def test_the_meter_agrees_with_the_bill(tmp_path: Path) -> None:
    faults = {"429-after": 0.1, "500": 0.1, "garbage": 0.05, "empty": 0.05}
    with serve(faults=faults) as server:
        model = open_run(server, tmp_path)
        results = ask(model, [request(number) for number in range(100)])
        assert model.cost == pytest.approx(server.bill)
    assert sum(isinstance(result, Reply) for result in results) >= 98
    assert model.to_json()["cost_usd"] == model.cost and f"${model.cost:.2f}" in model.summary() + model.facts()


def test_refusals_are_billed_and_not_asked_again(tmp_path: Path) -> None:
    with serve(faults={"refusal": 1.0}) as server:
        model = open_run(server, tmp_path)
        [result] = ask(model, [request()])
        assert isinstance(result, Failure) and result.kind == "refusal" and len(server.requests) == 1
        assert model.cost == pytest.approx(server.bill) and server.bill > 0


@pytest.mark.parametrize("concurrency", [1, 16, 64])
@pytest.mark.parametrize("limit", [0.5, 2.0])
def test_max_cost_is_a_hard_stop(tmp_path: Path, concurrency: int, limit: float) -> None:
    """A request costs 3 to 5 cents. The bill ends less than one reply below the limit, whatever is in flight."""
    with serve(latency=0.005) as server:
        model = open_run(server, tmp_path, concurrency, max_cost=limit)
        results = ask(model, [request(number) for number in range(400)])
    assert limit - 0.05 <= server.bill <= limit + 0.005
    refused = [result for result in results if isinstance(result, Failure)]
    assert {failure.kind for failure in refused} == {"budget"} and "--max-cost" in refused[0].detail
    assert len(server.requests) + len(refused) == 400


def test_the_first_wave_cannot_break_the_limit(tmp_path: Path) -> None:
    """64 in flight would cost 64 x 1.02 USD before anything is known of the price of a reply."""
    with FakeOpenAI(lambda body: "yes " * 500, price=(PRICE.prompt, PRICE.completion), latency=0.05) as server:
        model = open_run(server, tmp_path, 64, max_cost=3.0)
        ask(model, [request(number, max_tokens=500) for number in range(64)])
    assert 1.9 < server.bill <= 3.0


def test_max_requests_is_exact_and_earlier_ones_count(tmp_path: Path) -> None:
    requests = [request(number) for number in range(50)]
    with serve() as server:
        first = ask(open_run(server, tmp_path, max_requests=7), requests)
        assert len(server.requests) == 7
        assert ask(open_run(server, tmp_path, max_requests=7), requests) == first
        assert len(server.requests) == 7
        ask(open_run(server, tmp_path, max_requests=9), requests)
        assert len(server.requests) == 9


def test_money_of_an_earlier_run_counts(tmp_path: Path) -> None:
    requests = [request(number) for number in range(100)]
    with serve() as server:
        ask(open_run(server, tmp_path), requests[:20])
        before = server.bill
        model = open_run(server, tmp_path, max_cost=before + 0.2)
        ask(model, requests)
        assert before < server.bill <= before + 0.205
        assert model.cost == pytest.approx(server.bill) and model.replayed == 20
        assert f"${before:.4f} of it by earlier runs" in model.summary()
        spent = server.bill
        ask(open_run(server, tmp_path, max_cost=before), requests)
        assert server.bill == spent
    assert set(server.good_replies.values()) == {1}


@pytest.mark.parametrize("seed", range(20))
def test_the_estimate_of_a_sample_is_within_15_percent_of_the_bill(tmp_path: Path, seed: int) -> None:
    """Judging, sorted by category: replies and prompts of the second half are three times as long."""

    def judge(body: dict[str, Any]) -> str:
        words = body["messages"][-1]["content"].split()
        return "word " * round(random.Random(f"{seed} {words}").lognormvariate(3, 0.4) * (1 if len(words) < 50 else 3))

    requests = [request(number, 30 if number < 150 else 90) for number in range(300)]
    with FakeOpenAI(judge, price=(PRICE.prompt, PRICE.completion)) as server:
        model = open_run(server, tmp_path, 32)

        async def run() -> CostEstimate:
            estimate = await sample_cost(model, requests)
            async with aclosing(complete_in_order(model, requests, 32)) as results:
                async for _ in results:
                    pass
            return estimate

        with model:
            estimate = model.run(run())
        assert estimate.whole == pytest.approx(server.bill, rel=0.15)
    assert len(server.requests) == 300  # the sample was part of the run


def test_an_estimate_by_records_and_the_read_ahead_within_15_percent(tmp_path: Path) -> None:
    """A generator that keeps some of each reply, in order, and stops at its goal: bill and first estimate agree."""
    goal, kept, first = 1500, 0, None
    estimate = CostEstimate(PRICE, goal)
    with serve(latency=0.002) as server:
        model = open_run(server, tmp_path, 64)

        async def run() -> None:
            nonlocal kept, first
            endless = (request(number) for number in range(10**9))

            def needed() -> int:
                return round((goal - kept) / max(1.0, kept / max(1, estimate.replies))) if kept else 10

            async with aclosing(complete_in_order(model, endless, 64, needed)) as results:
                async for asked, result in results:
                    new = random.Random(asked.sample).randint(6, 14)
                    kept += new
                    estimate.add(result, new)
                    if estimate.replies == 10:
                        first = estimate.whole
                    if kept >= goal:
                        break

        with model:
            model.run(run())
        assert first == pytest.approx(server.bill, rel=0.15)
        assert len(server.requests) <= estimate.replies + 15


def test_margins_cover_the_truth() -> None:
    """95% intervals over simulated runs of 30 replies whose whole cost is known."""
    covered = 0
    for seed in range(1000):
        r = random.Random(seed)
        estimate = CostEstimate(Price(0.0, 1e6), 1000)
        for _ in range(30):
            estimate.add(Reply("", "m", usage=Usage(0, r.randint(50, 150))), r.randint(5, 15))
        assert estimate.whole is not None
        covered += abs(estimate.whole - 1000 * 10) <= estimate.margin * estimate.whole
    assert 900 <= covered <= 980


def test_what_is_said_before_the_first_call() -> None:
    text = estimate_before_asking([request(words=100, max_tokens=50)], 1000, Price(2.0, 10.0))
    assert text.startswith("rough estimate before the first call: 1,000 requests if nothing is dropped")
    assert "$0.7" in text and "at most" not in text  # 0.25 for the prompts and 1000 x 50 x 10 / 1e6; no bound
    assert "50,000 completion tokens if" in estimate_before_asking([request(max_tokens=50)], 1000, None)


def test_tokens_without_a_tokeniser() -> None:
    """OpenAI's help page "What are tokens and how to count them?" gives 11 tokens for this sentence."""
    quote = Request((Message("user", "You miss 100% of the shots you don't take"),))
    assert estimate_prompt_tokens(quote) - TOKENS_A_MESSAGE - TOKENS_A_REPLY == pytest.approx(11, rel=0.15)


def test_prices() -> None:
    assert list_price("gpt-4o-mini") == Price(0.15, 0.60) == list_price("gpt-4o-mini-2024-07-18")
    assert list_price("gpt-4o-2024-05-13") == Price(5.0, 15.0) and list_price("gpt-4o-2024-11-20") == Price(2.5, 10.0)
    assert list_price("llama-7b") is None and list_price("openai/gpt-4o-mini") == Price(0.15, 0.60)
    assert list_price("offline") == Price(0, 0, 0)
    assert Price(2.0, 8.0).in_batch() == Price(1.0, 4.0, 0.0)
    assert Price(2.0, 8.0).cost(Usage(1_000_000, 500_000)) == 6.0
    for entry in yaml.safe_load(PRICES.read_text()).values():
        assert set(entry) == {"prompt", "completion", "batch_discount", "as_of", "source"}


@pytest.mark.parametrize("text", ["1", "a,b", "-1,2", "1,2,3", "nan,1", "inf,1", ""])
def test_bad_prices(text: str) -> None:
    with pytest.raises(UserError, match="expected PROMPT,COMPLETION"):
        parse_price(text)
    assert parse_price("2.5, 10") == Price(2.5, 10.0)


def test_prices_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("house-7b: {prompt: 0.1, completion: 0.3}\ndear: {prompt: -1, completion: 2}\nodd: 3\n")
    assert parse_price(str(path), "house-7b") == Price(0.1, 0.3) == parse_price(str(path), "house-7b-2026-01-31")
    for model, wrong in (("other", "has no price of other"), ("dear", "0 or more"), ("odd", "not a file of prices")):
        with pytest.raises(UserError, match=wrong):
            parse_price(str(path), model)


class Silent:
    """A server that does not say what it billed."""

    name = "silent"

    def __init__(self, result: Reply | Failure) -> None:
        self.result, self.asked = result, 0

    async def complete(self, request: Request) -> Reply | Failure:
        self.asked += 1
        return self.result


def test_what_a_server_does_not_count_is_reckoned(tmp_path: Path) -> None:
    """OpenAI's help page gives 11 tokens for the sentence without its full stop; a limit wants no fewer."""
    said = "You miss 100% of the shots you don't take."
    model = ModelRun(Silent(Reply(said, "m")), tmp_path / "journal.jsonl", 4, PRICE)
    ask(model, [Request((Message("user", said),))])
    assert 11 <= model.usage.completion_tokens <= 16 and model.usage.prompt_tokens >= model.usage.completion_tokens
    assert model.to_json()["reckoned_tokens"] == model.usage.prompt_tokens + model.usage.completion_tokens
    assert "the server did not count them" in model.summary()
    again = ModelRun(Silent(Reply("", "m")), tmp_path / "journal.jsonl", 4, PRICE)
    with again:
        assert again.usage == model.usage and again.cost == model.cost  # the mark is kept in the journal


# Tokens by GPT-4's, GPT-4o's, DeepSeek's, Claude 2's and Mistral's (first, third) tokenizers: the fewest and the most.
COUNTED = {
    "Explain to a ten-year-old why the sky looks blue in the daytime, why clouds are white, and what happens at "
    "sunset. Answer in about 120 words.": (33, 40),
    'def add(numbers: list[int]) -> int:\n    """The sum of all numbers."""\n    total = 0\n'
    "    for number in numbers:\n        total += number\n    return total\n": (38, 45),
    "EXPLAIN WHY THE SKY APPEARS BLUE AND THE CLOUDS WHITE": (15, 22),
    "Expliquez pourquoi le ciel paraît bleu et pourquoi les nuages sont blancs, même en été.": (20, 29),
    "Explica por qué el cielo parece azul de día y por qué las nubes son blancas.": (20, 25),
    "Gökyüzünün neden mavi göründüğünü ve bulutların neden beyaz olduğunu açıklayın.": (22, 42),  # noqa: RUF001
    "Giải thích tại sao bầu trời có màu xanh và mây có màu trắng.": (18, 42),
    "Объясните, почему небо кажется голубым, а облака белыми.": (17, 35),  # noqa: RUF001
    "הסבר מדוע השמיים נראים כחולים והעננים לבנים.": (19, 45),
    "اشرح لماذا تبدو السماء زرقاء ولماذا تكون الغيوم بيضاء.": (19, 55),
    "समझाइए कि आकाश नीला क्यों दिखाई देता है और बादल सफेद क्यों होते हैं।": (22, 73),
    "โปรดอธิบายว่าทำไมท้องฟ้าจึงเป็นสีฟ้าและเมฆจึงเป็นสีขาว": (26, 95),
    "请解释为什么天空看起来是蓝色的，而云是白色的。": (13, 28),  # noqa: RUF001
    "空が青く見える理由を説明してください。雲はなぜ白いのですか。": (19, 35),
    "하늘이 파랗게 보이는 이유를 설명해 주세요. 구름은 왜 하얀가요?": (25, 45),
}


@pytest.mark.parametrize("text", COUNTED)
def test_no_tokenizer_gives_more_than_is_reckoned(text: str) -> None:
    fewest, most = COUNTED[text]
    assert most <= reckon_tokens(text) < 5 * fewest
    if text.isascii():
        assert reckon_tokens(text) < 1.8 * fewest


@pytest.mark.parametrize("result", [Reply("yes " * 10, "m"), Failure("malformed", "no text", 6)])
def test_max_cost_holds_where_nothing_is_counted(tmp_path: Path, result: Reply | Failure) -> None:
    silent = Silent(result)
    ask(ModelRun(silent, tmp_path / "journal.jsonl", 4, PRICE, max_cost=1.0), [request(n) for n in range(200)])
    assert 2 <= silent.asked < 40
    unheard = Silent(Failure("connection", "nobody answered", 6))
    model = ModelRun(unheard, tmp_path / "other.jsonl", 4, PRICE, max_cost=1.0)
    ask(model, [request(n) for n in range(200)])
    assert unheard.asked >= PATIENCE and model.cost == 0  # what nobody answered costs nothing


def test_a_second_model_pays_for_itself_alone(tmp_path: Path) -> None:
    requests = [request(number) for number in range(10)]
    with serve() as server:
        ask(open_run(server, tmp_path), requests)
        before = server.bill
        second = ModelRun(OpenAIModel("other", server.url), tmp_path / "journal.jsonl", 8, PRICE, max_requests=10)
        results = ask(second, requests)
        assert all(isinstance(result, Reply) for result in results)
        assert second.cost == pytest.approx(server.bill - before)


def test_requests_wait_for_each_other_only_near_the_limit() -> None:
    class Slow:
        name = "slow"
        flying = most = 0

        async def complete(self, request: Request) -> Reply | Failure:
            self.flying += 1
            self.most = max(self.most, self.flying)
            await asyncio.sleep(0.001)
            self.flying -= 1
            return Reply("", "slow", usage=Usage(20, 10))

    async def run(limit: float) -> Slow:
        llm = Slow()
        meter = Meter(llm, PRICE, SpendingLimits(limit), usage=Usage(20, 10), requests=1, longest=10)
        await asyncio.gather(*(meter.complete(request(number)) for number in range(50)))
        return llm

    assert asyncio.run(run(100.0)).most == 50
    assert 1 <= asyncio.run(run(0.3)).most < 8
