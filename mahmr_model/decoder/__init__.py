"""The decoder: a query for each person, boxes refined layer by layer, heads, camera."""
