"""`gripproxy doctor`: whether this machine can hold a given number of client connections, and what to change."""
