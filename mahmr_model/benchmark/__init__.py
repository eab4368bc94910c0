"""`mahmr benchmark`: where time goes from picture to people, what speed costs in numbers."""
