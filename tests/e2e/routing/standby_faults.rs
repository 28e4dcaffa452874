//! Standbys die and freeze under reads, and nobody hears of it.
