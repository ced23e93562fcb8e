"""Processes and devices: how a run was launched, how weights are spread."""
