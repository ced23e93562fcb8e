"""Every format of judgments, in the order in which a record is tried."""

from eval.judging.formats.alpaca_eval import ALPACA_EVAL
from eval.judging.formats.arena_hard import ARENA_HARD_BATTLES, ARENA_HARD_JUDGMENTS
from eval.judging.formats.chatbot_arena import CHATBOT_ARENA
from eval.judging.formats.format import JudgmentFormat
from eval.judging.formats.inspect_log import INSPECT_LOG
from eval.judging.formats.mt_bench import MT_BENCH_PAIRS, MT_BENCH_SINGLE
from eval.judging.formats.ours import OURS
from eval.judging.formats.prometheus import PROMETHEUS_GRADES, PROMETHEUS_PREFERENCES
from eval.judging.formats.vicuna import VICUNA_REVIEWS
from eval.judging.formats.wildbench import WILDBENCH_PAIRS, WILDBENCH_SCORES

FORMATS: tuple[JudgmentFormat, ...] = (
    OURS,
    MT_BENCH_PAIRS,
    VICUNA_REVIEWS,
    ALPACA_EVAL,
    ARENA_HARD_JUDGMENTS,
    CHATBOT_ARENA,
    ARENA_HARD_BATTLES,
    WILDBENCH_PAIRS,
    WILDBENCH_SCORES,
    PROMETHEUS_GRADES,
    PROMETHEUS_PREFERENCES,
    INSPECT_LOG,
    MT_BENCH_SINGLE,
)
