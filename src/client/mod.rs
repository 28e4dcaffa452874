//! One connection FROM an application.

pub mod registry;
