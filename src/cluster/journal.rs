//! The last things the controller said: `SHOW EVENTS`.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::command::Level;

const KEPT: usize = 1000;

#[derive(Debug, Default)]
pub struct Journal {
    lines: VecDeque<Line>,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub at: SystemTime,
    pub level: Level,
    pub text: String,
}

// === impl Journal ===

impl Journal {
    /// Forgets the oldest line when there are too many.
    pub fn note(&mut self, at: SystemTime, level: Level, text: String) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at, level, text });
    }

    /// The oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> {
        self.lines.iter()
    }
}
