"""Samplers: pure functions from noise to a clean sample, given something that guesses the clean one."""
