"""The servers that are measured, each started on its own ports in its own process group and directory."""
