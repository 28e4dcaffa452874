//! Statement text → [`Class`]: may it run on a standby, and what does it leave behind in the session. Pure.
//!
//! The own [`scanner`] is the lexing truth (a mirror of PostgreSQL's scan.l); first words decide all but queries;
//! sqlparser gives the structure of queries on a cache miss. What is not known to be a plain read is a write
//! ("SELECT", "Hot Standby: User's Overview" in the PostgreSQL documentation).

pub mod asked;
mod assigned;
pub mod cache;
mod carried;
pub mod catalog;
pub mod class;
pub mod classify;
mod ddl;
mod dialect;
pub mod fingerprint;
mod functions;
pub mod hint;
mod keywords;
pub mod knowledge;
pub mod outline;
pub mod own;
mod query;
pub mod scanner;
mod scope;
pub mod set;
pub mod shapes;
pub mod statements;
mod traits;
pub mod transaction;
mod types;
mod utility;

pub use assigned::assigned;
pub use cache::{Cache, Told};
pub use class::{Access, Begin, Class, Effects, Kind, Own, Reason};
pub use classify::{classify, classify_prefix};
