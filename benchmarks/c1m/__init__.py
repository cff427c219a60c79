"""A million held connections on one machine: gripproxy, its origin and all its clients, with a picture."""
