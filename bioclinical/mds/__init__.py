"""CSV of notes -> tokenised MDS: rows, tokens, splits, shards, verification, merging, inspection."""
