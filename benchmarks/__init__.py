"""Measures gripproxy and, in the same run, the servers it is compared with: CPU time and memory per operation."""
