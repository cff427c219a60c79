"""RFC 6455 and RFC 7692 as cases: what a client sends, and what it must get from a server that echoes."""
