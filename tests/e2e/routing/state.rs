//! What a session has set or made is seen by its next statement.
