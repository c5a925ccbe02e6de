"""The types and rules that every other part shares. Imports nothing of ours but itself."""
