"""Programs that nobody has read, run where they can do no harm: `run(program, limits)` says whether their tests passed.

It protects the machine, not the grade: a program shares its interpreter with its tests. One that ends early, prints,
or walks the stack passes nothing; an object that equals everything still passes any `assert`.
"""

from camelid.sandbox.execute import run
from camelid.sandbox.limits import Limits
from camelid.sandbox.verdict import Execution, Failed, NoSandbox, Passed, TimedOut

__all__ = ["Execution", "Failed", "Limits", "NoSandbox", "Passed", "TimedOut", "run"]
