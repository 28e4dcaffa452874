//! A session's `pgherd.*` settings: what they make of its turn, and what is no value of theirs.

use super::Session;
use super::replies::{Awaited, Op, Reply, Undo};
use crate::route::wishes::{self, Invalid};
use crate::route::{Avoid, Turn};
use crate::server::Server;
use crate::server::params::Settings;
use crate::sql::catalog::Catalog;
use crate::sql::{Class, Effects, Reason, assigned};
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frontend;

/// Refusals on their way that are told apart; whatever comes on top is refused with the last one's words.
const MAX_REFUSED: usize = 100;

impl Session {
    /// For a request while the session holds no server.
    #[inline]
    pub(super) fn turn_without_server(&self, avoid: Avoid) -> Turn {
        let wishes = &self.settings.wishes;
        let consistency = wishes.consistency.unwrap_or(self.reads.consistency);
        Turn {
            consistency,
            last_write: self.write_to_show(consistency),
            min_lsn: wishes.min_lsn,
            preference: wishes.preference,
            reads_on_primary: wishes.reads_on_primary,
            avoid,
            ..Turn::default()
        }
    }

    /// `ALTER ROLE` and `ALTER DATABASE` give settings as well. The catalog tells, once it is known and whenever it is anew.
    #[inline]
    pub(super) fn meet_defaults(&mut self) {
        let known = self.catalog.known();
        self.settings.meet_defaults(known.version(), || known.defaults_of(&self.user));
    }

    /// Why this statement is refused, if it is: it lowers `synchronous_commit` where that is not allowed, or gives a setting
    /// of ours a value that means nothing.
    #[inline]
    pub(super) fn refusal(&self, class: Class, text: &[u8]) -> Option<PgError> {
        if class.is_read() {
            return None;
        }
        if self.refuses_weaker_commit(class, text) {
            return Some(super::remarks::weaker_commit());
        }
        let may_set = class.effects.intersects(Effects::SET_SESSION.and(Effects::SET_CONFIG));
        if may_set || class.reason == Reason::SessionCommand { invalid_setting(text) } else { None }
    }

    /// The Query at the front is refused, by PostgreSQL, at its place in the pipeline.
    pub(super) fn refuse_query(&mut self, size: usize, error: PgError) {
        let sql = self.refuse_by(error);
        self.outbox.push_own(|out| frontend::push_query(out, &sql));
        self.inbox.start += size;
        self.await_answer(Awaited::Query);
    }

    /// So is the Parse at the front.
    pub(super) fn refuse_parse(&mut self, server: &mut Server, size: usize, error: PgError) {
        self.refuse_ahead(server, error);
        self.inbox.start += size;
    }

    /// So is what comes next, up to the Sync.
    pub(super) fn refuse_ahead(&mut self, server: &mut Server, error: PgError) {
        let tail = self.refuse_by(error) + "\0\0\0";
        self.outbox.push_own(|out| frontend::push_parse(out, b"", tail.as_bytes()));
        self.replies.await_op(Op { reply: Reply::Forward, undo: Undo::Nothing });
        server.unnamed = None;
        self.request_open = true;
    }

    /// A statement that PostgreSQL refuses; its error is told by the number of ours.
    fn refuse_by(&mut self, error: PgError) -> String {
        self.replies.refuses = true;
        if self.refused.len() < MAX_REFUSED {
            self.refused.push(error);
        }
        format!("SELECT \"pgherd.refused.{}\"", self.refused.len() - 1)
    }

    /// What the client hears in place of PostgreSQL's answer to that statement.
    pub(super) fn refused_with(&self, message: &[u8]) -> PgError {
        const NAME: &[u8] = b"pgherd.refused.";
        let at = message.windows(NAME.len()).position(|window| window == NAME);
        let digits = at.map(|at| message[at + NAME.len()..].iter().take_while(|b| b.is_ascii_digit()));
        let number = digits.map(|digits| digits.fold(0usize, |n, b| n.saturating_mul(10) + usize::from(b - b'0')));
        let error = number.and_then(|number| self.refused.get(number)).or(self.refused.last());
        error.cloned().unwrap_or_else(|| PgError::error(sqlstate::INTERNAL_ERROR, "the statement was refused"))
    }
}

fn invalid_setting(text: &[u8]) -> Option<PgError> {
    let settings = assigned(text, wishes::PREFIX);
    settings.iter().find_map(|(name, value)| check(name, value))
}

/// Why a client may not connect with these settings, if it may not.
pub(super) fn invalid_startup(settings: &Settings) -> Option<PgError> {
    let error = settings.iter().find_map(|(name, value)| check(name, value))?;
    Some(PgError { severity: "FATAL".into(), ..error })
}

fn check(name: &str, value: &str) -> Option<PgError> {
    Some(match wishes::check(name, value).err()? {
        Invalid::Value(allowed) => {
            let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
            PgError::error(sqlstate::INVALID_PARAMETER_VALUE, message)
                .with_hint(format!("Available values: {allowed}."))
        }
        Invalid::Name(meant) => {
            let message = format!("unrecognized configuration parameter \"{name}\"");
            let names = wishes::SETTINGS.map(|(known, _)| known).join(", ");
            let hint = match meant {
                Some(meant) => format!("Did you mean \"{meant}\"?"),
                None => format!("The settings of the proxy are {names}."),
            };
            PgError::error(sqlstate::UNDEFINED_OBJECT, message).with_hint(hint)
        }
    })
}
