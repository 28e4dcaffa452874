//! What comes here later.
