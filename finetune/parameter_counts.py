"""How many weights a model has where, and how many of them are trained."""

from dataclasses import dataclass

from finetune.llama.config import LlamaConfig
from finetune.recipe import AdapterSection


def linear_shapes(config: LlamaConfig) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of a layer's matrices."""
    heads, kv = config.num_attention_heads * config.head_size, config.kv_heads * config.head_size
    width, inner = config.hidden_size, config.intermediate_size
    return {
        "q_proj": (width, heads),
        "k_proj": (width, kv),
        "v_proj": (width, kv),
        "o_proj": (heads, width),
        "gate_proj": (width, inner),
        "up_proj": (width, inner),
        "down_proj": (inner, width),
    }


@dataclass(frozen=True)
class ParameterCounts:
    """Numbers of weights.

    Attributes:
        layers: of the decoder layers together, with the last norm.
        vocabulary: of the embedding and the output layer; a matrix that they share counts once.
        adapters: low-rank matrices, and DoRA's lengths, of all layers together.
        whole: of `vocabulary`, those that are trained: all of it, or what `adapter.also` names.
        output: of `whole`, those of the output layer.
        frozen: whether the layers' own weights are.
    """

    layers: int
    vocabulary: int
    adapters: int
    whole: int
    output: int
    frozen: bool

    @property
    def total(self) -> int:
        """The model's own."""
        return self.layers + self.vocabulary

    @property
    def trained_in_layers(self) -> int:
        return self.adapters if self.frozen else self.layers

    @property
    def trained(self) -> int:
        return self.trained_in_layers + self.whole


def count_parameters(config: LlamaConfig, adapter: AdapterSection) -> ParameterCounts:
    """Count the weights of a model with an adapter, or without."""
    matrix, tied, frozen = config.vocab_size * config.hidden_size, config.tie_word_embeddings, adapter.kind != "none"
    scores = config.num_labels is not None  # by a layer that counts for nothing
    vocabulary = matrix * (1 if tied or scores else 2)
    whole, output = vocabulary, 0 if scores else matrix
    if frozen:
        names = set(adapter.also)
        whole = matrix * (min(len(names), 1) if tied else len(names))
        output = matrix if names and (tied or "lm_head" in names) else 0
    adapters = 0
    if frozen:
        shapes, lengths = linear_shapes(config), adapter.kind == "dora"  # DoRA also trains the length of every output
        each = sum(adapter.rank * sum(shapes[name]) + lengths * shapes[name][1] for name in adapter.targets)
        adapters = each * config.num_hidden_layers
    return ParameterCounts(config.num_parameters() - vocabulary, vocabulary, adapters, whole, output, frozen)
