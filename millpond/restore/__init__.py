"""Windows back to topics: plan, safe target topics, exact writing, resume, offset map, proof."""
