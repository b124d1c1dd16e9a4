"""What is trained: sweep files, and the runs that they expand to."""

__all__ = ["fields", "grouping", "run_names", "sweep_file", "yaml_document", "yaml_file"]
