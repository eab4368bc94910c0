"""What turns the raw releases into the annotation files that the datasets read."""
