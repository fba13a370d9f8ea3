"""Benchmarks: one module a table, `python -P -m bench.NAME --help`; `make bench` runs all."""
