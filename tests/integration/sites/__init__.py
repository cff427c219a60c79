"""Origins as their authors write them, with the unmodified GRIP libraries; `running.py` starts them."""
