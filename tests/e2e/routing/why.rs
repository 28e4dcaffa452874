//! Why a statement went where it went, and how to change it.
