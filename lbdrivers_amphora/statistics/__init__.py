"""Statistics sinks: where the health manager sends what was counted, besides the store."""
