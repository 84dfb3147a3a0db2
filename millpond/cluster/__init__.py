"""What a cluster's topics are, kept beside their records."""
