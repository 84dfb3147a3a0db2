"""The deployment on AWS: constructs per unit, stacks that wire them. Knows the product's names, imports none of it."""
