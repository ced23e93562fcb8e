"""`camelid conversations templates`."""

import argparse
from typing import Any


def register_templates(verbs: Any) -> None:
    """Add the verb to the `conversations` command."""
    parser = verbs.add_parser("templates", help="list the templates: their strings, tokens and source")
    parser.set_defaults(run=run_templates)


def run_templates(args: argparse.Namespace) -> int:
    """Print each template as it writes a chat, line ends as \\n."""
    from camelid.message import Conversation, Message
    from conversations.tokens.template import TEMPLATES

    chat = tuple(Message(role, f"({role})") for role in ("system", "user", "assistant"))
    for template in TEMPLATES.values():
        text = "".join(span.text for span in template.spans(Conversation("x", chat)))
        print(f"{template.name}\n    {text!r}")
        print(f"    special tokens: {' '.join(template.control)}\n    source: {template.source}")
    print("tokenizer\n    the chat template that the tokenizer carries")
    return 0
