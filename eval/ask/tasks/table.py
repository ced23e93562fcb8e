"""Every format of tasks, those with more fields before those that share them."""

from eval.ask.tasks.format import TaskFormat
from eval.ask.tasks.human_eval import HUMAN_EVAL
from eval.ask.tasks.human_eval_plus import HUMAN_EVAL_PLUS
from eval.ask.tasks.infilling import INFILLING
from eval.ask.tasks.mbpp import MBPP
from eval.ask.tasks.own import OWN

TASK_FORMATS: tuple[TaskFormat, ...] = (INFILLING, HUMAN_EVAL_PLUS, HUMAN_EVAL, MBPP, OWN)
