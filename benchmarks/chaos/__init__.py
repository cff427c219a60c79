"""Processes of gripproxy are killed and stopped at random under load: what clients and publishers see of it."""
