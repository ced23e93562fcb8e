"""Chat HTML back to Markdown: code byte-exact, structure kept, Markdown left alone."""

import pytest
from markdown_it import MarkdownIt

from conversations.html import is_html, to_markdown


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
