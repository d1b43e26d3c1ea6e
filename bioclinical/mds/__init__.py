"""CSV of notes -> tokenised MDS: reading rows, tokenising, splitting, writing shards, verifying, merging, inspecting."""
