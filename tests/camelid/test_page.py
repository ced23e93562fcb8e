"""A page's script is several files one after the other: a name that two of them define would be the later one's."""

import re
from collections import Counter
from collections.abc import Callable

import pytest

from conversations.look.set_page import PageSet
from eval.report.question_browser import make_browser
from tests.eval.synthetic import evaluation


def report() -> str:
    made = evaluation("single")
    return f"<script>{make_browser(made.results, made.questions, made.answers, made.judgments).script}</script>"


def conversations() -> str:
    return PageSet().to_page("nothing", None)


@pytest.mark.parametrize("page", [report, conversations])
def test_no_name_is_defined_twice(page: Callable[[], str]) -> None:
    [script] = re.findall(r"<script>(.*?)</script>", page(), re.DOTALL)
    names = Counter(re.findall(r"^(?:async )?(?:function\*?|const|let|class) (\w+)", script, re.MULTILINE))
    assert len(names) > 30 and [name for name, count in names.items() if count > 1] == []
