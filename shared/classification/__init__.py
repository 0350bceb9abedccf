"""Who a hit was by: a person, a proxy for one, a prefetch, a scanner. Pure and versioned."""
