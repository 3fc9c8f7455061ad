"""Exchange of studies as files: exported from a store, verified without a store, and imported into another store."""
