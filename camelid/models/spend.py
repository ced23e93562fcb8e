"""Money: prices, a hard limit on what a run may spend, and what a whole run will cost."""

import asyncio
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from camelid.errors import UserError
from camelid.files.read import read_text
from camelid.models.llm import FINAL, LLM, Failure, Reply, Request, Usage

PRICES = Path(__file__).with_name("prices.yaml")
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")

BYTES_A_TOKEN = 4  # "one token generally corresponds to ~4 characters of text for common English text" (OpenAI,
# platform.openai.com/tokenizer). Byte pairs are merged from UTF-8, so bytes also fit scripts of 2 or 3 bytes a letter.
TOKENS_A_MESSAGE, TOKENS_A_REPLY = 3, 3  # of the chat format (OpenAI Cookbook, "How to count tokens with tiktoken")
# How tokenizers cut text, where that of the model is not at hand: before words, capitals, marks and every third digit.
# A longer word falls into pieces, capitals and scripts that vocabularies have little of into more. Set against six, of
# 32,000 to 200,000 tokens (GPT-4's, GPT-4o's, DeepSeek's, Claude 2's, Mistral's first and third): none gives more for
# code and 13 of 17 languages, English among them, so that a limit on money holds. For 999 rows of Alpaca this is 1.4 to
# 1.6 times what they give; of the other four Polish is the worst, where one gives 1.22 times this. (Amharic: 1.7.)
_PIECE = re.compile(
    r"(?P<word>[A-Z]?[a-z]+)|(?P<capitals>[A-Z]+)|\d{1,3}|\n+|(?P<ideograph>[\u3040-\u30ff\u3400-\u9fff])"
    r"|(?P<other>[^\s\x00-\x7f])|\S"
)
WHOLE_WORD, LETTERS_A_PIECE, CAPITALS_A_PIECE = 5, 3, 2
TOKENS_AN_IDEOGRAPH, TOKENS_A_BYTE = 1.25, 0.625  # the latter of UTF-8, outside ASCII
UNBOUNDED = 1024  # tokens reckoned for a reply whose request sets no max_tokens, until replies show better

SAMPLE = 10  # replies before an estimate is worth showing
CLOSE = 0.1  # an estimate is settled when its 95% interval is this share of it to either side
Z = 1.96  # standard errors of a 95% interval


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens.

    Attributes:
        prompt, completion: for tokens read and written.
        batch_discount: the share taken off by the Batch API.
        origin: where the figures are from, for who reads the bill.
    """

    prompt: float
    completion: float
    batch_discount: float = 0.5
    origin: str = field(default="--price", compare=False)

    def cost(self, usage: Usage) -> float:
        """USD for so many tokens."""
        return (usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion) / 1e6

    def in_batch(self) -> "Price":
        """The Batch API's price."""
        share = 1 - self.batch_discount
        return replace(self, prompt=self.prompt * share, completion=self.completion * share, batch_discount=0.0)


def parse_price(text: str, model: str = "") -> Price:
    """Read `--price`: PROMPT,COMPLETION, or a YAML file like `prices.yaml`.

    Args:
        text: the argument.
        model: whose price is looked up in a file.

    Raises:
        UserError: these are not two numbers, both 0 or more, nor a file that holds such a price of the model.
    """
    if "," not in text and text.endswith((".yaml", ".yml")):
        price = _price_in(Path(text), model)
        if price is None:
            raise UserError(f"--price {text}: has no price of {model}; add {model}: {{prompt: 1, completion: 2}}")
        return price
    try:
        prompt, completion = (float(part) for part in text.split(","))
    except ValueError:
        prompt = completion = -1.0
    if not (0 <= prompt < math.inf and 0 <= completion < math.inf):
        raise UserError(
            f"--price {text}: expected PROMPT,COMPLETION in USD per million tokens, such as 2.50,10, or a YAML file"
        )
    return Price(prompt, completion)


def list_price(model: str) -> Price | None:
    """The price of a model at OpenAI, or of `offline`.

    Args:
        model: its name; a dated snapshot has the price of its name unless `prices.yaml` says otherwise, and routers
            such as OpenRouter write `openai/` before it.
    """
    return _price_in(PRICES, model.removeprefix("openai/"))


def _price_in(path: Path, model: str) -> Price | None:
    """The price of a model in a file like `prices.yaml`, where there only `prompt` and `completion` must be.

    Raises:
        UserError: the file is no such YAML.
    """
    import yaml

    try:
        prices = yaml.safe_load(read_text(path))
        entry = prices.get(model) or prices.get(_DATE.sub("", model))
        if entry is None:
            return None
        figures = [float(entry[name]) for name in ("prompt", "completion")]
        discount = float(entry.get("batch_discount", 0.5))
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a file of prices: {model}: {' '.join(str(error).split())}") from None
    if not all(0 <= figure < math.inf for figure in figures) or not 0 <= discount <= 1:
        raise UserError(f"{path}: {model}: prices must be 0 or more, batch_discount from 0 to 1")
    dated = f" of {entry['as_of']}" if "as_of" in entry else ""
    return Price(figures[0], figures[1], discount, f"list price{dated}" if path == PRICES else path.name)


def estimate_prompt_tokens(request: Request) -> int:
    """About how many tokens a request's messages have, known without any tokeniser (`BYTES_A_TOKEN`)."""
    text = sum(len(message.content.encode()) for message in request.messages)
    return round(text / BYTES_A_TOKEN) + TOKENS_A_MESSAGE * len(request.messages) + TOKENS_A_REPLY


def reckon_tokens(text: str) -> int:
    """About how many tokens a text has, rather more than fewer, where a server does not say what it billed."""
    return math.ceil(sum(_reckon_piece(found) for found in _PIECE.finditer(text)))


def _reckon_piece(found: re.Match[str]) -> float:
    piece, length = found.lastgroup, len(found[0])
    if piece == "word":
        return 1 if length <= WHOLE_WORD else math.ceil(length / LETTERS_A_PIECE)
    if piece == "capitals":
        return math.ceil(length / CAPITALS_A_PIECE)
    if piece == "ideograph":
        return TOKENS_AN_IDEOGRAPH
    return TOKENS_A_BYTE * len(found[0].encode(errors="surrogatepass")) if piece == "other" else 1


def reckon_usage(request: Request, result: Reply | Failure) -> Usage:
    """What a result was billed: as its server says or, where it says nothing, reckoned from the texts.

    A failure that is an answer costs its prompt each time; one that nobody answered costs nothing.
    """
    usage, text = result.usage, result.reasoning + result.text if isinstance(result, Reply) else ""
    answered = isinstance(result, Reply) or result.kind in FINAL | {"malformed"}
    prompt = completion = 0
    if answered and not usage.prompt_tokens:
        once = sum(reckon_tokens(message.content) + TOKENS_A_MESSAGE for message in request.messages) + TOKENS_A_REPLY
        prompt = once * (1 if isinstance(result, Reply) else result.attempts)
    if text and not usage.completion_tokens:
        completion = reckon_tokens(text)
    if isinstance(result, Failure) and result.kind == "cut_off" and not usage.completion_tokens:
        completion = request.max_tokens or UNBOUNDED
    return usage + Usage(prompt, completion, reckoned=prompt + completion)


class SpendingLimits:
    """What a job may spend, over all the models it asks, and what it has spent.

    Args:
        max_cost: USD.
        max_requests: most requests.
    """

    def __init__(self, max_cost: float | None = None, max_requests: int | None = None) -> None:
        self.max_cost, self.max_requests = max_cost, max_requests
        self.spent, self.requests = 0.0, 0
        self.flying, self.reserved = 0, 0.0  # requests in flight, and the USD they are expected to cost
        self.landed = asyncio.Event()
        self.refusal: Failure | None = None


class Meter:
    """An `LLM` that counts what another one bills and stops at a limit.

    A request is sent only if the limit still has room for it and all in flight, each with the longest reply seen so
    far (before the first, with all of its `max_tokens`); where room is short it waits for those in flight. So the
    limit is overshot only by what a reply is longer than every one before. Refusals are `Failure("budget", ...)`,
    and after the first nothing is sent any more.

    Args:
        llm: whom to ask.
        price: of its tokens; None where it is not known.
        limits: of the job; models that are asked for the same job share them.
        usage, requests, longest: what earlier runs of the same job have spent, and their longest reply; it counts.

    Attributes:
        usage: tokens billed, earlier ones included.
        sent: requests sent here.
    """

    def __init__(
        self,
        llm: LLM,
        price: Price | None,
        limits: SpendingLimits | None = None,
        usage: Usage | None = None,
        requests: int = 0,
        longest: int = 0,
    ) -> None:
        self._llm, self._price, self._limits = llm, price, limits or SpendingLimits()
        assert price is not None or self._limits.max_cost is None
        self.usage, self.sent = Usage(), 0
        self._bill(usage or Usage())
        self._limits.requests += requests
        self._longest = longest  # completion tokens of a reply
        self._reckoned = self._billed = 0  # prompt tokens of replies here: by `estimate_prompt_tokens`, by the provider

    @property
    def name(self) -> str:
        return self._llm.name

    @property
    def cost(self) -> float | None:
        """USD billed, earlier runs' included; None if the price is not known."""
        return self._price.cost(self.usage) if self._price else None

    async def complete(self, request: Request) -> Reply | Failure:
        limits = self._limits
        # Whoever waits asks again after every reply, for each changes both what is left and what the next one is
        # expected to cost. Nothing runs between `_admit` and the reservation (there is no await), so two requests can
        # never be admitted on the same room.
        while (expected := self._admit(request)) is None:
            limits.landed.clear()
            await limits.landed.wait()
        if isinstance(expected, Failure):
            return expected
        limits.flying += 1
        limits.reserved += expected
        limits.requests += 1
        self.sent += 1
        try:
            result = await self._llm.complete(request)
        finally:  # cancelled, too, or those who wait would wait for ever
            limits.flying -= 1
            limits.reserved -= expected
            limits.landed.set()
        result = replace(result, usage=reckon_usage(request, result))
        self._bill(result.usage)
        if isinstance(result, Failure) and result.attempts == 0:  # after a fatal failure the model sends nothing
            self.sent -= 1
            limits.requests -= 1
        if isinstance(result, Reply):
            self._longest = max(self._longest, result.usage.completion_tokens)
            self._reckoned += estimate_prompt_tokens(request)
            self._billed += result.usage.prompt_tokens
        return result

    def _bill(self, usage: Usage) -> None:
        self.usage += usage
        self._limits.spent += self._price.cost(usage) if self._price else 0.0

    def _admit(self, request: Request) -> float | Failure | None:
        """What the request is expected to cost, if it may be sent now; None if it must wait; or why it never may."""
        limits = self._limits
        if limits.refusal is None and limits.max_requests is not None and limits.requests >= limits.max_requests:
            limits.refusal = Failure("budget", f"--max-requests {limits.max_requests} was reached", 0)
        if limits.refusal is not None or limits.max_cost is None or self._price is None:
            return limits.refusal or 0.0
        expected = self._expect(request, self._price)
        if limits.spent + limits.reserved + expected <= limits.max_cost:
            return expected
        if limits.flying:  # their replies may cost less than was reserved for them
            return None
        if not self._longest and limits.spent < limits.max_cost:
            return expected  # it may not fit, but only a reply shows what replies really cost
        spent = format_dollars(limits.spent)
        limits.refusal = Failure("budget", f"--max-cost {limits.max_cost:g} was reached: {spent} is spent", 0)
        return limits.refusal

    def _expect(self, request: Request, price: Price) -> float:
        # The model's tokenizer is not here: prompts are reckoned from their text, and what was billed corrects that.
        prompt = float(estimate_prompt_tokens(request))
        if self._reckoned:
            prompt *= self._billed / self._reckoned
        completion = self._longest or request.max_tokens or UNBOUNDED
        return (prompt * price.prompt + completion * price.completion) / 1e6


def estimate_before_asking(sample: Sequence[Request], requests: int, price: Price | None) -> str:
    """What a run may cost, in words, from nothing but a few of its requests.

    Rough, and no bound: how many requests it will take is not known, for replies are dropped and failures repeated.

    Args:
        sample: some of the requests, chosen like the others.
        requests: about how many there will be if nothing is dropped.
        price: None if it is not known; then the tokens are given alone.
    """
    share = requests / max(1, len(sample))
    prompts = round(share * sum(estimate_prompt_tokens(request) for request in sample))
    replies = round(share * sum(request.max_tokens or UNBOUNDED for request in sample))
    text = f"rough estimate before the first call: {requests:,} requests if nothing is dropped and none repeated"
    if price is None:
        return f"{text}, about {prompts:,} prompt tokens, {replies:,} completion tokens if no reply ends early"
    least, full = format_dollars(price.cost(Usage(prompts))), format_dollars(price.cost(Usage(prompts, replies)))
    text = f"{text}, about {prompts:,} prompt tokens, {least} for prompts alone, {full} if no reply ends early"
    return f"{text} ({price.origin})"


class CostEstimate:
    """What a whole run will cost, from the replies so far: their cost, over what they achieved, times the goal.

    Feed it replies that were chosen like the rest will be: the first ones of a run whose requests are drawn at random,
    a sample from everywhere in one whose requests are sorted (`camelid.models.model_run.sample_cost`).

    Args:
        price: None if it is not known; then tokens take the place of dollars.
        total: the run's goal, in records, judgments, ...
    """

    def __init__(self, price: Price | None, total: int) -> None:
        self._price, self._total = price, total
        self.replies = 0
        self._cost = self._done = 0.0
        self._cost2 = self._done2 = self._both = 0.0  # sums of squares and products

    def add(self, result: Reply | Failure, done: float = 1) -> None:
        """Take in one reply and how much of the goal it achieved (0 for a failure)."""
        usage = result.usage
        cost = self._price.cost(usage) if self._price else float(usage.prompt_tokens + usage.completion_tokens)
        self.replies += 1
        self._cost += cost
        self._done += done
        self._cost2 += cost * cost
        self._done2 += done * done
        self._both += cost * done

    @property
    def whole(self) -> float | None:
        """The whole run's cost: USD, or tokens if there is no price; None until something is achieved."""
        return self._cost / self._done * self._total if self._done else None

    @property
    def margin(self) -> float:
        """Half the 95% interval of `whole`, as a share of it (delta method for a ratio of means)."""
        n = self.replies
        if n < 2 or not self._done:
            return math.inf
        if not self._cost:
            return 0.0
        ratio = self._cost / self._done
        squares = max(0.0, self._cost2 - 2 * ratio * self._both + ratio * ratio * self._done2)
        return Z * math.sqrt(squares / (n - 1) * n) / self._cost

    @property
    def settled(self) -> bool:
        """Whether the estimate rests on enough replies to be believed within `CLOSE`."""
        return self.replies >= SAMPLE and self.margin <= CLOSE

    def facts(self) -> str:
        """For a progress bar: `about $4.10 in all`."""
        return f"about {self._amount(self.whole)} in all" if self.whole is not None else ""

    def __str__(self) -> str:
        if self.whole is None:
            return f"no estimate: {self.replies} replies achieved nothing"
        spread = f", give or take {self.margin:.0%}" if math.isfinite(self.margin) else ""
        return f"estimate for the whole run: {self._amount(self.whole)}{spread} (from {self.replies} replies)"

    def _amount(self, value: float | None) -> str:
        return format_dollars(value or 0.0) if self._price else f"{value or 0.0:,.0f} tokens"


def format_dollars(value: float) -> str:
    """`$12.34`, with more digits for small sums."""
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"
