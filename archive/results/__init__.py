"""Results: a ``Result`` (columns, Arrow batches, overflow, notes) to bytes of any format, as they come."""
