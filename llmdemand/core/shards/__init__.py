"""Panels larger than memory: a folder of parquet files, each of them a panel."""
