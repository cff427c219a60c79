"""The hub process: publish inputs in, the ZeroMQ bus to every worker out."""
