"""How cost grows: memory and CPU against connections, channels, subscriptions, workers and item size."""
