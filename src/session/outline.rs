//! What was seen of an answer so far. As long as that is its outline only, no row of it, the request can be asked of another
//! server. Pure.

use super::replies::Undo;

#[derive(Default)]
pub struct Outline {
    /// The request may be asked again.
    keeps: bool,
    /// Something is for the client that only an answer can bring (unlike notices, notifications, parameters).
    pub has_answered: bool,
    /// … and more than that it was understood: a row, an end, an error.
    pub is_final: bool,
    /// So it is not asked again, but what was asked behind it can be.
    pub is_past: bool,
    /// From here on nothing is for the client: the request is asked again.
    pub is_muted: bool,
    /// Statements of the request that were completed.
    pub completed: usize,
    /// What was acknowledged of names, the first one first: undone if all is asked again.
    pub kept: Vec<Undo>,
}

/// What an extended request that is being sent has asked ahead of running anything.
#[derive(Clone, Copy, Default)]
pub struct Prelude {
    /// Describes whose answers are to come.
    asked: u32,
    /// Behind an error nobody knows which ones are.
    is_doubtful: bool,
    /// A portal was made.
    pub is_bound: bool,
}

// === impl Prelude ===

impl Prelude {
    /// A Describe is being sent.
    #[inline]
    pub fn ask(&mut self) {
        self.asked += 1;
    }

    /// A message with this tag came, of an extended request.
    #[inline]
    pub fn meet(&mut self, tag: u8) {
        match tag {
            b'T' | b'n' => self.asked = self.asked.saturating_sub(1),
            b'E' => self.is_doubtful = true,
            _ => {}
        }
    }

    /// Nothing is to come of it, and nothing but statements was made.
    pub fn is_over(self) -> bool {
        self.asked == 0 && !self.is_doubtful && !self.is_bound
    }
}

// === impl Outline ===

impl Outline {
    /// Of a request that may be asked again.
    pub fn keeping() -> Self {
        Self { keeps: true, ..Self::default() }
    }

    /// Of a request of which the client has seen a part, with others behind it.
    pub fn past() -> Self {
        Self { is_past: true, ..Self::default() }
    }

    /// Whether an error may be kept from the client.
    #[inline]
    pub fn may_be_dropped(&self) -> bool {
        self.keeps && !self.is_muted
    }

    /// A message with this tag is for the client.
    #[inline]
    pub fn forwarded(&mut self, tag: u8) {
        match tag {
            b'S' | b'N' | b'A' => {}
            b'1' | b'2' | b'3' | b'n' | b't' | b'T' | b'H' => self.has_answered = true,
            _ => {
                self.completed += usize::from(matches!(tag, b'C' | b'I' | b's'));
                (self.has_answered, self.is_final) = (true, true);
            }
        }
    }

    /// A Parse or Close was acknowledged.
    #[inline]
    pub fn acknowledged(&mut self, undo: Undo) {
        if self.keeps && matches!(undo, Undo::Parse { client: Some(_), .. } | Undo::Close { .. }) {
            self.kept.push(undo);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_is_no_answer() {
        let mut outline = Outline::keeping();
        for (tags, has_answered, is_final) in [("NSA", false, false), ("12ntTH3", true, false), ("D", true, true)] {
            tags.bytes().for_each(|tag| outline.forwarded(tag));
            assert_eq!((outline.has_answered, outline.is_final), (has_answered, is_final), "{tags}");
        }
        for tag in *b"dCEIsZ" {
            let mut outline = Outline::keeping();
            outline.forwarded(tag);
            assert!(outline.is_final, "{tag}");
        }
    }

    #[test]
    fn it_is_known_what_is_described_until_something_fails() {
        let mut prelude = Prelude::default();
        assert!(prelude.is_over());
        prelude.ask();
        b"12t".iter().for_each(|tag| prelude.meet(*tag));
        assert!(!prelude.is_over());
        prelude.meet(b'n');
        assert!(prelude.is_over());
        prelude.meet(b'E');
        assert!(!prelude.is_over());
    }

    #[test]
    fn only_names_are_kept_and_only_while_it_can_be_asked_again() {
        let parse = || Undo::Parse { client: Some(Box::from(*b"a")), server: None };
        let mut outline = Outline::keeping();
        for undo in [parse(), Undo::Nothing, Undo::Parse { client: None, server: None }] {
            outline.acknowledged(undo);
        }
        assert_eq!(outline.kept.len(), 1);
        let mut outline = Outline::default();
        outline.acknowledged(parse());
        assert!(outline.kept.is_empty());
    }
}
