//! Hints, `pgherd.*` settings, and what the proxy says about its decisions.

mod settings;
