"""Every judging mode by its name, in the order of `eval judge --help`; the first is the default."""

from eval.judging.modes.alpaca import ALPACA
from eval.judging.modes.arena_hard import ARENA_HARD
from eval.judging.modes.correctness import CORRECTNESS
from eval.judging.modes.execute import EXECUTE
from eval.judging.modes.mode import Mode
from eval.judging.modes.pairwise import PAIRWISE
from eval.judging.modes.prometheus import PROMETHEUS
from eval.judging.modes.single import SINGLE
from eval.judging.modes.vicuna import VICUNA

MODES: dict[str, Mode] = {
    mode.name: mode for mode in (SINGLE, PAIRWISE, VICUNA, ALPACA, ARENA_HARD, PROMETHEUS, CORRECTNESS, EXECUTE)
}
