"""The report: a page, a Markdown summary, and how both say their numbers."""
