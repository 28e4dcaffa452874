//! Parse and Close on their way to a server, and what undoes them. Pure.

use std::sync::Arc;

use super::names::Statement;
use crate::server::prepared::StatementId;
use crate::sql::Class;

/// A Parse or Close on its way, acknowledged in order.
#[derive(Debug)]
pub struct Op {
    pub reply: Reply,
    /// What to undo if it never is acknowledged.
    pub undo: Undo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Forward,
    /// The client did not ask for it.
    Swallow,
    /// A Close of a name nobody has, sent in place of a Parse that is not needed: its CloseComplete becomes a
    /// ParseComplete.
    AsParseComplete,
}

#[derive(Debug)]
pub enum Undo {
    Nothing,
    /// The server does not have the statement under this number, the client's name (if any) is free again.
    Parse {
        client: Option<Box<[u8]>>,
        server: Option<(StatementId, u64)>,
    },
    /// The server does not have the client's unnamed statement of this count. `own`: nor has the client.
    ParseUnnamed {
        count: u64,
        own: bool,
    },
    /// The client's statement was not closed.
    Close {
        name: Box<[u8]>,
        statement: Arc<Statement>,
    },
    /// A simple Query or a Close was skipped: the unnamed statement lives on.
    DropUnnamed {
        dropped: Option<Class>,
        count: u64,
        on_server: Option<(u64, u64)>,
    },
    /// A statement that is not counted any more was not closed.
    Stray {
        number: u64,
    },
}
