//! What kind of cluster it is, how the proxy is set up, what trouble there is: drawn from the seed.

use std::time::Duration;

use pgherd::cluster::Settings;
use pgherd::config::{self, Durability, FailoverMode};

use super::dice::Dice;
use super::postgres::Ms;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) nodes: usize,
    pub(super) wants_quorum: bool,
    pub(super) needed: usize,
    pub(super) is_first: bool,
    pub(super) cascades: bool,
    pub(super) is_manual: bool,
    pub(super) grace: Ms,
    pub(super) pause: Ms,
    pub(super) drain: Ms,
    pub(super) has_hooks: bool,
    pub(super) receiver_timeout: Ms,
    /// `wal_retrieve_retry_interval`.
    pub(super) retry: Ms,
    pub(super) interval: Ms,
    pub(super) timeout: Ms,
    pub(super) failures: u32,
    /// Nothing that any cluster should fail over for: no connections left, a wrong password, short freezes.
    pub(super) is_mild: bool,
    /// Orders of an operator come.
    pub(super) has_operator: bool,
    /// The operator may order FORCE.
    pub(super) may_force: bool,
    /// The coordinator crashes.
    pub(super) crashes: bool,
    /// Between two troubles, on average.
    pub(super) peace: Ms,
}

// === impl Plan ===

impl Plan {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let nodes = dice.pick(&[2, 3, 3, 3, 4, 4, 5]);
        let is_mild = dice.one_in(12);
        let cascades = dice.one_in(4);
        // One that cascades acknowledges nothing to the primary: more than one may be more than there are.
        let most = if nodes > 3 && !cascades { nodes as u64 - 2 } else { 1 };
        Self {
            nodes,
            wants_quorum: !dice.one_in(4),
            needed: dice.between(1, most) as usize,
            is_first: dice.one_in(6),
            cascades,
            is_manual: dice.one_in(12),
            grace: dice.pick(&[0, 0, 300, 1000]),
            pause: dice.pick(&[0, 0, 0, 3000]),
            drain: dice.pick(&[20, 100, 500]),
            has_hooks: dice.one_in(8),
            receiver_timeout: dice.pick(&[1000, 1000, 2000, 60_000]),
            retry: dice.pick(&[100, 500, 5000]),
            interval: 100,
            timeout: 250,
            failures: dice.pick(&[2, 2, 3]),
            is_mild,
            has_operator: !is_mild && dice.one_in(2),
            may_force: dice.one_in(10),
            crashes: dice.one_in(2),
            peace: dice.pick(&[300, 1000, 3000]),
        }
    }

    pub(super) fn configured(&self) -> Vec<config::Node> {
        let named = |index: usize| config::Node {
            name: format!("pg{index}"),
            host: format!("pg{index}"),
            port: 5432,
            max_servers: 10,
            weight: 100,
            zone: String::new(),
        };
        (0..self.nodes).map(named).collect()
    }

    pub(super) fn settings(&self) -> Settings {
        let command = |is_there: bool| if is_there { vec!["command".to_owned()] } else { Vec::new() };
        let failover = config::Failover {
            mode: if self.is_manual { FailoverMode::Manual } else { FailoverMode::Automatic },
            durability: if self.wants_quorum { Durability::Quorum } else { Durability::Async },
            grace: Duration::from_millis(self.grace),
            pause: Duration::from_millis(self.pause),
            drain: Duration::from_millis(self.drain),
            hooks: config::Hooks {
                on_failover: command(self.has_hooks),
                fence: command(self.has_hooks),
                promote: Vec::new(),
                on_promote: command(self.has_hooks),
                timeout: Duration::from_secs(1),
            },
            ..config::Failover::default()
        };
        Settings { failures: self.failures, notice_interval: Duration::from_secs(10), failover }
    }
}
