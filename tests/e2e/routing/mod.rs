//! Where statements go, and that nobody can tell: each of these fails on a proxy that looks at first words.

mod catalog;
mod consistency;
mod lag;
mod net;
mod property;
mod read_first;
mod standby_faults;
mod state;
mod transactions;
mod why;
