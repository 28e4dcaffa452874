//! Standbys that are too far behind take no reads.
