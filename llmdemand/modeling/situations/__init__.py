"""Choice situations in files that do not fit into memory, fitted in passes over them."""
