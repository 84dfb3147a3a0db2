"""Target topics: looked at before anything is made, safe while records are written, as they should be at the end."""
