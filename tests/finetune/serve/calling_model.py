"""A model made by hand that calls a function when it is asked, and answers once it has been told what that gave."""

from pathlib import Path

from transformers import AddedToken

from conversations.tokens.template import get_template
from finetune.folders import weights
from finetune.folders.tokenizer import train_tokenizer
from finetune.llama.config import LlamaConfig

# Cut where the text is free: of what a grammar forces, it allows the usual tokens alone.
CALL = ('<tool_call>\n{"name": "weather", "arguments": {"city": "', "Rome", '"}}\n</tool_call>')
RESULT, ANSWER = "</tool_response>", "It is sunny."


def save_calling_model(folder: Path, name: str = "chatml") -> None:
    """Write its folder.

    Without layers' help a token is followed by what the output layer's row has for it. The one attention head looks at
    all tokens alike and sees whether a result is among them. Each part of the call is one token, and so is the answer.
    """
    template = get_template(name)
    tokenizer = train_tokenizer(["x"], 256 + 8, template)
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in (*CALL, RESULT, ANSWER)])
    ids = [tokenizer.convert_tokens_to_ids(text) for text in (*CALL, ANSWER, template.stop[0])]
    newline, told = tokenizer("\n", add_special_tokens=False)["input_ids"][-1], len(tokenizer)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=384,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    state = {key: value.zero_() for key, value in weights.init_model(config, seed=0).state_dict().items()}
    for key in state:
        if key.endswith("norm.weight"):
            state[key].fill_(1.0)
    state["model.embed_tokens.weight"].fill_diagonal_(1.0)
    state["model.layers.0.self_attn.v_proj.weight"][0, tokenizer.convert_tokens_to_ids(RESULT)] = 1.0
    state["model.layers.0.self_attn.o_proj.weight"][told, 0] = 1.0
    head = state["lm_head.weight"]
    first, second, third, answer, end = ids
    head[first, newline], head[first, told] = 10.0, -1e4
    head[answer, newline] = 5.0
    for token, after in ((second, first), (third, second), (end, third), (end, answer)):
        head[token, after] = 10.0
    weights.save_model(state, config, folder)
    tokenizer.save_pretrained(folder)
