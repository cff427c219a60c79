"""Manual pages, completion and the configuration reference, made of the program's own tables and parsers."""
