"""From judgments to numbers: boards, intervals, rankings, audits of judges."""
