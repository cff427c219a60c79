"""Fork, watch, restart and stop the hub and the workers."""
