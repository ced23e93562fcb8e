"""The LLaMA decoder and its near descendants, for training on packed documents and for generation.

LLaMA (Touvron et al. 2023, section 2.2): pre-normalisation with RMSNorm (Zhang and Sennrich 2019), SwiGLU
feed-forward (Shazeer 2020), rotary position embeddings (Su et al. 2021), no biases. LLaMA-2 (section 2.2)
adds grouped-query attention; what Mistral, Qwen and SmolLM3 add is in `finetune.llama.families`. Parameters have
Hugging Face's names, so weights need no key map.

Shape legend: T tokens of all documents back to back (no batch dimension, no padding), D hidden_size,
F intermediate_size, H query heads, K key and value heads, d head width, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from finetune.llama.activations import rms_norm, swiglu
from finetune.llama.attention import Documents, attention
from finetune.llama.cache import KeyValues
from finetune.llama.config import LlamaConfig
from finetune.llama.linear import Linear
from finetune.llama.recompute import Recompute, remade, run_compiled, run_layer
from finetune.llama.rope import apply_rotary, rotary_cos_sin

Head = Callable[[Tensor, nn.Module], Tensor]


def _rows(x_TX: Tensor, places_N: Tensor | None) -> Tensor:
    return x_TX if places_N is None else x_TX.index_select(0, places_N)


class RMSNorm(nn.Module):
    """See `rms_norm`."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x_TD: Tensor) -> Tensor:
        return rms_norm(x_TD, self.weight, self.eps)


class LlamaAttention(nn.Module):
    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.head_size = config.head_size
        self.turns = config.turns(layer)
        width, bias = config.hidden_size, config.attention_bias
        self.q_proj = Linear(width, config.num_attention_heads * config.head_size, bias=bias)
        self.k_proj = Linear(width, config.kv_heads * config.head_size, bias=bias)
        self.v_proj = Linear(width, config.kv_heads * config.head_size, bias=bias)
        self.o_proj = Linear(config.num_attention_heads * config.head_size, width, bias=config.output_bias)
        norms = config.family.head_norms
        self.q_norm = RMSNorm(config.head_size, config.rms_norm_eps) if norms else None
        self.k_norm = RMSNorm(config.head_size, config.rms_norm_eps) if norms else None

    def forward(
        self,
        x_TD: Tensor,
        cos_Td: Tensor,
        sin_Td: Tensor,
        documents: Documents,
        cache: KeyValues | None,
        layer: int,
        read_N: Tensor | None,
    ) -> Tensor:
        q_THd = self.q_proj(x_TD).unflatten(-1, (-1, self.head_size))
        k_TKd = self.k_proj(x_TD).unflatten(-1, (-1, self.head_size))
        if self.q_norm is not None and self.k_norm is not None:
            q_THd, k_TKd = self.q_norm(q_THd), self.k_norm(k_TKd)
        if self.turns:
            q_THd, k_TKd = apply_rotary(q_THd, cos_Td, sin_Td), apply_rotary(k_TKd, cos_Td, sin_Td)
        v_TKd = self.v_proj(x_TD).unflatten(-1, (-1, self.head_size))
        if cache is None:
            out_THd = attention(q_THd, k_TKd, v_TKd, documents)
        else:
            out_THd = cache.attend(layer, q_THd, k_TKd, v_TKd, documents)
        projected: Tensor = self.o_proj(_rows(out_THd.flatten(1), read_N))
        return projected


class LlamaMLP(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        width, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj = Linear(width, inner, bias=bias)
        self.up_proj = Linear(width, inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)

    def forward(self, x_TD: Tensor) -> Tensor:
        out_TD: Tensor = self.down_proj(remade(swiglu, self.gate_proj(x_TD), self.up_proj(x_TD)))
        return out_TD


class LlamaDecoderLayer(nn.Module):
    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = LlamaAttention(config, layer)
        self.mlp = LlamaMLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x_TD: Tensor,
        cos_Td: Tensor,
        sin_Td: Tensor,
        documents: Documents,
        cache: KeyValues | None = None,
        layer: int = 0,
        read_N: Tensor | None = None,
        compiled: Recompute | None = None,
    ) -> Tensor:
        """See `_compute`; in code compiled for a way to recompute, if `compiled` says one."""
        # In here, so that the hooks that sharding adds to layers run outside of what is compiled.
        if compiled is not None:
            return run_compiled(compiled, self._compute, x_TD, cos_Td, sin_Td, documents)
        return self._compute(x_TD, cos_Td, sin_Td, documents, cache, layer, read_N)

    def _compute(
        self,
        x_TD: Tensor,
        cos_Td: Tensor,
        sin_Td: Tensor,
        documents: Documents,
        cache: KeyValues | None = None,
        layer: int = 0,
        read_N: Tensor | None = None,
    ) -> Tensor:
        """h = x + attention(norm(x)); out = h + mlp(norm(h)); if `read_N` names places, of these alone, else 0."""
        normed_TD = remade(self.input_layernorm, x_TD)
        attended_ND = self.self_attn(normed_TD, cos_Td, sin_Td, documents, cache, layer, read_N)
        h_ND = remade(torch.add, _rows(x_TD, read_N), attended_ND)
        out_ND: Tensor = h_ND + self.mlp(remade(self.post_attention_layernorm, h_ND))
        return out_ND if read_N is None else torch.zeros_like(x_TD).index_copy(0, read_N, out_ND)


class LlamaModel(nn.Module):
    """Embedding, layers, final norm."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(LlamaDecoderLayer(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Llama(nn.Module):
    """A LLaMA with its output layer: `lm_head`, or `score` of one that gives scores.

    Attributes:
        config: the shape.
        recompute: what the backward pass computes again: nothing; all but the outputs of linear layers and of
            attention (LLaMA, section 2.4: "the activations that are expensive to compute"); or all but each
            layer's input (Chen et al. 2016).
        compiled: whether layers run in compiled code.
    """

    _no_split_modules = ("LlamaDecoderLayer",)  # what FSDP and DeepSpeed wrap
    _tied_weights_keys = ("lm_head.weight",)  # what peft ties, if the config says so

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.recompute: Recompute = "none"
        self.compiled = False
        self.model = LlamaModel(config)
        if config.num_labels:
            self.score = Linear(config.hidden_size, config.num_labels, bias=False)
        else:
            self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @property
    def output_name(self) -> str:
        """What the output layer is called."""
        return "score" if self.config.num_labels else "lm_head"

    @property
    def output(self) -> nn.Linear:
        """The output layer."""
        layer: nn.Linear = getattr(self, self.output_name)
        return layer

    def get_input_embeddings(self) -> nn.Module:
        """What peft asks for the embedding by."""
        return self.model.embed_tokens

    def set_recompute(self, mode: Recompute) -> None:
        self.recompute = mode

    def set_compiled(self, compiled: bool) -> None:
        """Whether layers run compiled while gradients are recorded; wants batches of one shape."""
        self.compiled = compiled

    def forward(
        self,
        input_ids_T: Tensor,
        positions_T: Tensor,
        documents: Documents,
        head: Head | None = None,
        cache: KeyValues | None = None,
        read_N: Tensor | None = None,
    ) -> Tensor:
        """Run the model over packed documents.

        Args:
            input_ids_T: token ids of all documents, back to back.
            positions_T: position of each token in its document.
            documents: where each document lies; attention never crosses.
            head: what to make of the final hidden states, called with (hidden_TD, output layer). The training
                loss is computed here, inside the forward pass, so that sharding wrappers see all of it.
            cache: keys and values of what came before; then T holds only the new tokens.
            read_N: places whose final hidden states `head` looks at, each once; None = all. Others need not be
                computed: they give keys and values to the last layer, and their own final states may be 0.

        Returns:
            (T, V) logits, (T, 1) scores, or whatever `head` returns.
        """
        x_TD = self.model.embed_tokens(input_ids_T)
        cos_Td, sin_Td = rotary_cos_sin(self.config, positions_T, documents, x_TD.dtype)
        if self.compiled and cache is None and torch.is_grad_enabled():
            torch._dynamo.mark_dynamic(documents.starts, 0)  # one graph for any number of documents
            for seen, layer in zip(self._seen(documents.on_device_alone()), self.model.layers, strict=True):
                x_TD = layer(x_TD, cos_Td, sin_Td, seen, compiled=self.recompute)
        else:
            last = self.config.num_hidden_layers - 1
            for index, (seen, layer) in enumerate(zip(self._seen(documents), self.model.layers, strict=True)):
                read = read_N if index == last else None
                x_TD = run_layer(self.recompute, layer, x_TD, cos_Td, sin_Td, seen, cache, index, read)
        hidden_TD = self.model.norm(x_TD)
        out: Tensor = self.output(hidden_TD) if head is None else head(hidden_TD, self.output)
        return out

    def _seen(self, documents: Documents) -> list[Documents]:
        """What the tokens of each layer see."""
        windows = [self.config.window(layer) for layer in range(self.config.num_hidden_layers)]
        kinds = {window: replace(documents, window=window) for window in windows if window is not None}
        return [documents if window is None else kinds[window] for window in windows]

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Random weights: normal(0, initializer_range) for matrices, 1 for norms, 0 for biases."""
        generator = torch.Generator(self.output.weight.device).manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 1:
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, self.config.initializer_range, generator=generator)
