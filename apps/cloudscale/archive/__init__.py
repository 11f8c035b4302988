"""The archive: every stored event as a row in a Parquet file, for as long as the files are kept."""
