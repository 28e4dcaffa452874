//! What a standby refuses is run again on the primary, unseen.
