//! A read shows what was written before, wherever it runs.
