"""Entry points of the Batch jobs: each works on the lines of the plan that its array index stands for."""
