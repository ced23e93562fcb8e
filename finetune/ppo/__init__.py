"""Policies that learn from rewards of answers they sample: PPO with a critic, RLOO and GRPO without."""
