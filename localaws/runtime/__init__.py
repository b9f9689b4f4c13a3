"""How programs of model images run: as containers of an engine, or as plain processes."""
