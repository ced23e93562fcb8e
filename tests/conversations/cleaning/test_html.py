"""Chat HTML back to Markdown: code byte-exact, structure kept, Markdown left alone."""

from random import Random

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from conversations.cleaning.html import is_html, pages_to_markdown
from tests.chat_pages import answer


def to_markdown(html: str) -> str:
    [markdown] = pages_to_markdown([html])
    return markdown


def block(code: str, language: str = "python", header: str = "") -> str:
    """A code block as ChatGPT's page renders it."""
    return (
        f'<pre><div class="bg-black"><div class="flex"><span>{header or language}</span><button class="ml-auto">'
        f'<svg viewBox="0 0 24 24"><path d="M16"></path></svg>Copy code</button></div><div class="p-4">'
        f'<code class="!whitespace-pre hljs language-{language}">{code}</code></div></div></pre>'
    )


def page(*parts: str) -> str:
    return f'<div class="markdown prose">{"".join(parts)}</div>'


@pytest.mark.parametrize(
    "code",
    [
        "x = 1",
        "def f(a):\n    return a  # trailing  \n\n\n    y\t= 2",
        "if a &lt; b &amp;&amp; c &gt; d:\n  print(&quot;&#39;*_x_*[y](z)&quot;)",
        "# heading\n- item\n1. one\n| a | b |\n<!-- no -->".replace("<", "&lt;").replace(">", "&gt;"),
        "\\n \\\\ `tick` ``two``",
        "",
    ],
)
def test_code_is_byte_exact(code: str) -> None:
    plain = code.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&#39;", "'")
    plain = plain.replace("&amp;", "&")
    text = to_markdown(page("<p>Before</p>", block(code), "<p>After</p>"))
    assert text == f"Before\n\n```python\n{plain}\n```\n\nAfter"


def test_highlighting_spans_vanish_and_fences_outgrow_the_code() -> None:
    code = '<span class="hljs-keyword">print</span>(1)\n```\nfenced\n````'
    assert to_markdown(page(block(code))) == "`````python\nprint(1)\n```\nfenced\n````\n`````"


def test_code_in_a_list_is_indented_and_parses_back() -> None:
    html = page("<ol><li><p>One</p>", block("a\n  b", "bash"), "</li><li>Two</li></ol>")
    text = to_markdown(html)
    assert text == "1. One\n\n   ```bash\n   a\n     b\n   ```\n\n2. Two"
    assert '<code class="language-bash">a\n  b\n</code>' in MarkdownIt().render(text)


def test_a_block_without_code_element_or_language() -> None:
    assert to_markdown(page("<pre>a &lt; b</pre>")) == "```\na < b\n```"


@pytest.mark.parametrize(
    "markdown",
    [
        "# Title\n\nSome *soft* and **loud** words with `code_x * y`.",
        "- one\n- two\n  - nested\n- three",
        "1. one\n2. two",
        "| a | b |\n| --- | --- |\n| 1 | 2 |",
        "> quoted\n\nand [a link](https://x.example/y).",
        "5 * 3 < 20 and snake_case stays & so does this",
    ],
)
def test_structure_survives_a_round_trip(markdown: str) -> None:
    """Rendered by an independent renderer, then converted, then rendered again: the same page."""
    renderer = MarkdownIt("commonmark").enable("table")
    html = renderer.render(markdown)
    assert renderer.render(to_markdown(page(html))) == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<p>Hi</p>", True),
        ("Use `<div>` here.", False),
        ("```html\n<div>x</div>\n```", False),
        ("<b>bold</b> start", False),
        ("<div> is a tag", False),
        ("a < b > c", False),
    ],
)
def test_what_counts_as_html(text: str, html: bool) -> None:
    assert is_html(text) == html


@pytest.mark.slow
def test_a_thousand_pages_keep_code_and_structure() -> None:
    """Code blocks, as an independent parser finds them, equal the originals; so does the text around them."""
    markdown = MarkdownIt("commonmark").enable("table")
    rng = Random(0)
    blocks = 0
    for _ in range(1200):
        made = answer(rng)
        assert is_html(made.html)
        tokens = markdown.parse(to_markdown(made.html))
        fences = [(token.info, token.content[:-1]) for token in tokens if token.type == "fence"]
        assert fences == made.code
        blocks += len(fences)
        assert words(markdown.parse(made.markdown)) == words(tokens)
    assert blocks > 1000


def words(tokens: list[Token]) -> list[str]:
    """The texts, code spans, links and markers of a page, one after the other."""
    found = []
    for token in tokens:
        if token.type == "inline":
            children = token.children or []
            found.append(" ".join((child.content or child.type) for child in children if child.type != "softbreak"))
        elif token.type in ("list_item_open", "th_open", "td_open", "hr", "heading_open"):
            found.append(token.type + token.tag)
    return found


FORMULA = (
    '<span class="katex"><span class="katex-mathml"><math xmlns="http://www.w3.org/1998/Math/MathML"><semantics>'
    '<mrow><mi>a</mi></mrow><annotation encoding="application/x-tex">a_1 &lt; *b* \\frac{x}{y}</annotation></semantics>'
    '</math></span><span class="katex-html" aria-hidden="true"><span class="base"><span class="mord">a</span>'
    "</span></span></span>"
)
TEX = r"a_1 < *b* \frac{x}{y}"


def test_formulas_become_their_source() -> None:
    assert (
        to_markdown(page(f'<p>So <span class="math math-inline">{FORMULA}</span> holds.</p>')) == f"So ${TEX}$ holds."
    )
    block_form = f'<span class="katex-display">{FORMULA}</span>'
    assert to_markdown(page(f"<p>So</p>{block_form}<p>holds.</p>")) == f"So\n\n$$\n{TEX}\n$$\n\nholds."
    assert to_markdown(page(f"<ul><li><p>So</p>{block_form}</li></ul>")) == f"- So\n\n  $$\n  {TEX}\n  $$"


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<p>my_var_name and `x`</p>", "my_var_name and `x`"),
        ("<p>10 / 2 = 5</p>", "10 / 2 = 5"),
        ("<p>a<sup>2</sup></p>", "a<sup>2</sup>"),
        ("<p>a\x02" + "7\x03b</p>", "a7b"),
        (block("a\n\n\nb"), "```python\na\n\n\nb\n```"),
        ("<pre>\n\na</pre>", "```\n\na\n```"),
        (f"<blockquote>{block('a')}</blockquote>", "> ```python\n> a\n> ```"),
        (f"<table><tr><td>{block('a')}</td></tr></table>", None),
        ("<pre><code>never closed", None),
        ("<p>never <b>closed", "never **closed**"),
    ],
)
def test_cases(html: str, markdown: str | None) -> None:
    got = to_markdown(html)
    assert "\x02" not in got and "\x03" not in got
    if markdown is not None:
        assert got == markdown


@pytest.mark.parametrize("language", ["c++", "c#", "objective-c", "f#"])
def test_language_names(language: str) -> None:
    assert to_markdown(block("a", language)).startswith(f"```{language}\n")
    header_only = f'<pre><div><span>{language}</span><button>Copy code</button></div><code class="hljs">a</code></pre>'
    assert to_markdown(header_only) == f"```{language}\na\n```"
