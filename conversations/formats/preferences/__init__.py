"""Preference data as it is published: readers from a record to compared or marked answers, and their table."""
