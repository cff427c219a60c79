"""The demo: gripproxy with a small origin of its own, and a page that shows both at work."""
