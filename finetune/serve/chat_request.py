"""A chat that is asked for: its prompt, how tokens are chosen, what the answer keeps to."""

import asyncio
from dataclasses import dataclass, replace

from camelid.errors import UserError
from finetune.generate.grammar import Grammar
from finetune.serve.bodies import ChatBody
from finetune.serve.call_form import CallForm
from finetune.serve.chat_turns import arrange_turns, is_begun
from finetune.serve.engine import RunningRequest, ServingEngine
from finetune.serve.errors import ApiError
from finetune.serve.structured import grammar_of_lark, grammar_of_regex, grammar_of_schema


@dataclass(frozen=True)
class RunningChat:
    """A chat whose answers are being written.

    Attributes:
        run: the answers.
        begun: whether they go on with what the assistant says last.
        form: how they call tools, if they may.
    """

    run: RunningRequest
    begun: bool
    form: CallForm | None


async def start_chat(engine: ServingEngine, body: ChatBody) -> RunningChat:
    """Queue the answers to a chat.

    Raises:
        ApiError: the model cannot answer it, or not as it is asked to.
    """
    messages = arrange_turns([message.message() for message in body.messages])
    begun, tools = is_begun(messages), body.tools_of_answers
    try:
        prompt = await engine.encode_chat(messages, tools)
        form = CallForm.of(engine.template) if tools else None
    except UserError as error:
        message = str(error).removeprefix("conversation 'prompt': ").removeprefix("conversation '': ")
        raise ApiError(400, message, "invalid_value", "tools" if tools and "tools" in message else "messages") from None
    sampling = replace(body.sampling(), grammar=await asyncio.to_thread(_grammar, engine, body, form))
    if begun:
        sampling = replace(sampling, after=engine.served.anchor)
    return RunningChat(engine.start([prompt], body.seeds(), sampling), begun, form)


def _grammar(engine: ServingEngine, body: ChatBody, form: CallForm | None) -> Grammar | None:
    """What answers keep to, if the request says so; a schema may take a second to compile."""
    if body.regex is not None:
        return grammar_of_regex(body.regex, engine.grammar_tokenizer)
    schema = None if body.response_format is None else body.response_format.schema_of_answers
    if schema is not None:
        return grammar_of_schema(schema, engine.grammar_tokenizer, "response_format")
    if form is not None:
        several = body.parallel_tool_calls is not False
        lark = form.lark(body.tools_of_answers, body.must_call, several)
        return grammar_of_lark(lark, engine.grammar_tokenizer, "tools")
    return None
