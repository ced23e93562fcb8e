"""What a person looks at: single conversations, the audit before a run, statistics."""
