"""Chat pages made up for tests and benchmarks: Markdown we wrote, rendered the way ChatGPT's page renders it."""

import html
from dataclasses import dataclass
from random import Random

from markdown_it import MarkdownIt
from markdown_it.token import Token

WORDS = (
    "the a camel walks through dry sand and finds water near an old well while people trade salt for grain "
    "because my_var_name is shorter than another_long_name but 3 < 4 and x > y & so on; naïve café 東京 Straße"
).split()
LANGUAGES = ["python", "c++", "bash", "json", "html", "sql", "javascript", "rust"]
CODE_LINES = [
    "def f(my_var_name, *args):", "    return a[i] * b[i]  # trailing spaces  ", "", "", "if (a < b && c > d) {",
    "}", '<div class="x">&amp;</div>', "print(\"it's\")", "\tindented = 'by tab'", "# heading", "- item", "| a | b |",
    "$x$ and \\(y\\)", "1. one", "> quote", "<!-- comment -->", "x = [1, 2][0]", "10 / 2 == 5", "Copy code",
    "~~~", "``inline``", "</code></pre>", "\\n\\t\\\\", "naïve = '東京 🐪'", "   ", "&lt;escaped&gt;", "*not emphasis*",
]  # fmt: skip
_SVG = '<svg stroke="currentColor" viewBox="0 0 24 24"><path d="M16 4h2a2 2 0 0 1 2 2v14"></path></svg>'


@dataclass(frozen=True)
class Page:
    """A made-up answer: its HTML, the Markdown it came from, and each code block as `(language, code)` in order."""

    html: str
    markdown: str
    code: list[tuple[str, str]]


def answer(rng: Random, blocks: int = 6) -> Page:
    """A page of random blocks: paragraphs, headings, nested lists, tables, quotes, rules, code."""
    code: list[tuple[str, str]] = []
    parts = [_block(rng, code) for _ in range(rng.randint(1, blocks))]
    markdown = "\n\n".join(parts)
    return Page(render(markdown, rng), markdown, code)


def question(rng: Random) -> str:
    """What a user types: plain text with anything in it, never rendered."""
    odd = ["<div>", "10 / 2 = 5", "my_var_name", "1 / 2", "  two  spaces", "\n\n\n", "```\ncode\n```", "&lt;", "$5"]
    return " ".join(rng.choice([*WORDS, *odd]) for _ in range(rng.randint(1, 40)))


def render(markdown: str, rng: Random) -> str:
    """Markdown as the page's HTML, with the page's code blocks and their buttons."""
    renderer = MarkdownIt("commonmark").enable("table")
    renderer.add_render_rule("fence", lambda _, tokens, index, *rest: _code_block(tokens[index], rng))
    return f'<div class="markdown prose w-full break-words dark:prose-invert dark">{renderer.render(markdown)}</div>'


def _code_block(token: Token, rng: Random) -> str:
    language = token.info.strip()
    shown = language or "text"
    classes = f"!whitespace-pre hljs language-{language}" if language else "!whitespace-pre hljs"
    header = f'<span class="">{shown}</span>' if rng.random() < 0.5 else shown
    if not language:
        header = ""
    return (
        '<pre><div class="bg-black mb-4 rounded-md"><div class="flex items-center relative text-gray-200 px-4 py-2">'
        f'{header}<button class="flex ml-auto gap-2">{_SVG}Copy code</button></div><div class="p-4 overflow-y-auto">'
        f'<code class="{classes}">{_highlighted(token.content, rng)}</code></div></div></pre>\n'
    )


def _highlighted(code: str, rng: Random) -> str:
    """The code with up to three words a line in `hljs` spans, as the page's highlighter leaves it."""
    pieces = []
    for line in code.split("\n"):
        words = [html.escape(word, quote=rng.random() < 0.5) for word in line.split(" ")]
        for hit in {rng.randrange(len(words)) for _ in range(3)}:
            kind = rng.choice(["keyword", "string", "title function_"])
            words[hit] = words[hit] and f'<span class="hljs-{kind}">{words[hit]}</span>'
        pieces.append(" ".join(words))
    return "\n".join(pieces)


def _words(rng: Random, low: int = 8, high: int = 50) -> str:
    words = [rng.choice(WORDS) for _ in range(rng.randint(low, high))]
    for at in rng.sample(range(len(words)), k=rng.randint(0, 2)):
        words[at] = rng.choice(["**{}**", "*{}*", "`{}`", "[{}](https://x.example/a_b)"]).format(words[at])
    return " ".join(words)


def _block(rng: Random, code: list[tuple[str, str]]) -> str:
    kind = rng.choice(
        ["text", "text", "text", "heading", "list", "table", "quote", "rule", "code", "code", "code list"]
    )
    if kind == "heading":
        return f"{'#' * rng.randint(1, 4)} {_words(rng, 2, 6)}"
    if kind == "list":
        return _list(rng, 0)
    if kind == "table":
        cells = [[rng.choice(WORDS) for _ in range(3)] for _ in range(rng.randint(2, 5))]
        rows = ["| " + " | ".join(row) + " |" for row in cells]
        return "\n".join([rows[0], "| --- | --- | --- |", *rows[1:]])
    if kind == "quote":
        return f"> {_words(rng)}\n>\n> {_words(rng)}"
    if kind == "rule":
        return "---"
    if kind == "code":
        return _fence(rng, code)
    if kind == "code list":
        items = []
        for number in range(1, rng.randint(2, 4)):
            block = _fence(rng, code).replace("\n", "\n   ")
            items.append(f"{number}. {_words(rng)}\n\n   {block}")
        return "\n\n".join(items)
    return _words(rng)


def _list(rng: Random, depth: int) -> str:
    ordered = rng.random() < 0.5
    lines = []
    for number in range(1, rng.randint(2, 5)):
        mark = f"{number}. " if ordered else "- "
        lines.append(mark + _words(rng, 2, 8))
        if depth < 2 and rng.random() < 0.3:
            indent = " " * len(mark)
            lines += [indent + line for line in _list(rng, depth + 1).split("\n")]
    return "\n".join(lines)


def _fence(rng: Random, code: list[tuple[str, str]]) -> str:
    lines = [rng.choice(CODE_LINES) for _ in range(rng.randint(1, 14))]
    if rng.random() < 0.1:
        lines[rng.randrange(len(lines))] = "```python"
    language = rng.choice(["", *LANGUAGES])
    text = "\n".join(lines)
    code.append((language, text))
    return f"`````{language}\n{text}\n`````"
