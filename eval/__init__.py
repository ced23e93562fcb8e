"""Questions, answers, judgments, statistics and the report."""
