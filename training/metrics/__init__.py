"""The published evaluation protocols, in numpy; nothing here knows a network or a dataset."""
