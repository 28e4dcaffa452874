//! The controller in a world that is against it: nodes die, freeze and return, links break and heal, messages are lost
//! or come late, the proxy pauses. Everything follows from a seed; a seed that fails is printed.
//!
//! `PGHERD_SEEDS=100000 cargo test --test it simulation` plays more; `PGHERD_SEED=7` plays one, and tells the story.
//!
//! Must hold after every step: never are two nodes promoted from one timeline; a primary that we or a standby we hear can
//! reach is never replaced; who hears no standby changes nothing; epochs and the served timeline only rise. And in the end,
//! when all is mended, the primary on the newest timeline is served.

#![allow(clippy::print_stdout, reason = "a seed's story is for whoever asked for it")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pgherd::cluster::{Action, Command, Controller, Event, Failure, FailureKind, Lsn, NodeId, Observation, Outcome};
use pgherd::cluster::{Settings, Topology};
use pgherd::config;

const SEEDS: u64 = 100;
/// Milliseconds, as all times here.
const STEP: u64 = 5;
const TROUBLE: u64 = 30_000;
const CALM: u64 = 30_000;
const INTERVAL: u64 = 100;
const TIMEOUT: u64 = 250;
const RECEIVER_TIMEOUT: u64 = 1000;

#[test]
fn no_trouble_makes_two_primaries() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = match number("PGHERD_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("PGHERD_SEEDS").unwrap_or(SEEDS)),
    };
    let mut promotions = 0;
    for seed in first..first + count {
        let played = std::panic::catch_unwind(|| World::new(seed, count == 1).play());
        match played {
            Ok(promoted) => promotions += promoted,
            Err(_) => panic!("seed {seed} fails; PGHERD_SEED={seed} tells its story"),
        }
    }
    assert!(count == 1 || promotions as u64 * 4 > count, "only {promotions} promotions in {count} plays");
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }
}

#[derive(Clone)]
struct Node {
    is_primary: bool,
    timeline: u32,
    /// Where each timeline but the last ended.
    forks: BTreeMap<u32, u64>,
    lsn: u64,
    conninfo: usize,
    receiver: bool,
    /// When the receiver heard something last.
    heard: u64,
    is_dead: bool,
    is_frozen: bool,
    /// Orders that wait for the thaw.
    pending: Vec<Command>,
    // --- its prober ---
    next_probe: u64,
    busy: bool,
    orders: Vec<Command>,
}

struct World {
    seed: u64,
    tells: bool,
    dice: Dice,
    now: u64,
    start: Instant,
    nodes: Vec<Node>,
    /// Broken links; the proxy is the last one.
    cut: Vec<Vec<bool>>,
    paused_until: u64,
    /// What the proxy will hear, and when.
    inbox: Vec<(u64, usize, Event)>,
    controller: Controller,
    topology: Topology,
    served_timeline: u32,
    /// From which timeline who was promoted.
    promoted: BTreeMap<u32, usize>,
    ordered: BTreeMap<u32, usize>,
    /// Since when the primary of each timeline could be reached by us, or by a standby that we reach.
    reachable_since: BTreeMap<usize, u64>,
    /// Since when we reach no standby at all.
    alone_since: Option<u64>,
}

// === impl World: time goes by ===

impl World {
    fn new(seed: u64, tells: bool) -> Self {
        let mut dice = Dice(seed);
        let count = 2 + dice.roll(3) as usize;
        let node = |index: usize, upstream: usize| Node {
            is_primary: index == 0,
            timeline: 1,
            forks: BTreeMap::new(),
            lsn: 1000,
            conninfo: upstream,
            receiver: index != 0,
            heard: 0,
            is_dead: false,
            is_frozen: false,
            pending: Vec::new(),
            next_probe: index as u64 * 7,
            busy: false,
            orders: Vec::new(),
        };
        let nodes: Vec<Node> = (0..count).map(|index| node(index, dice.roll(index.max(1) as u64) as usize)).collect();
        let named = |index: usize| config::Node {
            name: format!("pg{index}"),
            host: format!("pg{index}"),
            port: 5432,
            max_servers: 10,
        };
        let configured: Vec<config::Node> = (0..count).map(named).collect();
        let failover = config::Failover {
            mode: config::FailoverMode::Automatic,
            grace: Duration::from_millis([0, 0, 300, 1000][dice.roll(4) as usize]),
            pause: Duration::ZERO,
            witnesses: dice.roll(2) as u32,
            ..config::Failover::default()
        };
        let settings = Settings { failures: 2, notice_interval: Duration::from_secs(10), failover };
        Self {
            seed,
            tells,
            dice,
            now: 0,
            start: Instant::now(),
            cut: vec![vec![false; count + 1]; count + 1],
            nodes,
            paused_until: 0,
            inbox: Vec::new(),
            controller: Controller::new(&configured, settings),
            topology: Topology::unknown(&configured),
            served_timeline: 0,
            promoted: BTreeMap::new(),
            ordered: BTreeMap::new(),
            reachable_since: BTreeMap::new(),
            alone_since: None,
        }
    }

    /// How many nodes were promoted.
    fn play(mut self) -> usize {
        while self.now < TROUBLE + CALM {
            self.now += STEP;
            if self.now > 1000 && self.now < TROUBLE && self.dice.one_in(200) {
                self.trouble();
            }
            if self.now == TROUBLE {
                self.mend();
            }
            self.replicate();
            self.watch();
            (0..self.nodes.len()).for_each(|node| self.probe(node));
            if self.now >= self.paused_until {
                self.hear();
            }
        }
        self.check_the_end();
        self.promoted.len()
    }

    fn trouble(&mut self) {
        let (proxy, node) = (self.nodes.len(), self.dice.roll(self.nodes.len() as u64) as usize);
        // The primary more often than others.
        let node =
            if self.dice.one_in(2) { self.nodes.iter().position(|n| n.is_primary).unwrap_or(node) } else { node };
        match self.dice.roll(9) {
            0 => self.kill(node),
            1 | 2 => self.restart(node),
            3 => self.nodes[node].is_frozen = !self.nodes[node].is_dead,
            4 | 5 => self.thaw(node),
            6 => {
                let other = self.dice.roll(proxy as u64 + 1) as usize;
                self.link(node, other, true);
            }
            7 => (0..=proxy).for_each(|other| {
                if self.dice.one_in(2) {
                    self.link(node, other, false);
                }
            }),
            _ => self.paused_until = self.now + self.dice.roll(1500),
        }
    }

    fn mend(&mut self) {
        self.tell("all is mended");
        for node in 0..self.nodes.len() {
            self.thaw(node);
            self.restart(node);
            (0..self.cut.len()).for_each(|other| self.link(node, other, false));
        }
    }

    fn kill(&mut self, node: usize) {
        self.tell(&format!("pg{node} dies"));
        let node = &mut self.nodes[node];
        (node.is_dead, node.is_frozen, node.receiver) = (true, false, false);
        node.pending.clear();
    }

    fn restart(&mut self, node: usize) {
        if std::mem::take(&mut self.nodes[node].is_dead) {
            self.tell(&format!("pg{node} is started again"));
        }
    }

    fn thaw(&mut self, node: usize) {
        if std::mem::take(&mut self.nodes[node].is_frozen) {
            self.tell(&format!("pg{node} thaws"));
            for command in std::mem::take(&mut self.nodes[node].pending) {
                self.execute(node, &command);
            }
        }
    }

    fn link(&mut self, a: usize, b: usize, cut: bool) {
        if a != b && self.cut[a][b] != cut {
            self.tell(&format!("the link {a}-{b} is {}", if cut { "cut" } else { "mended" }));
            (self.cut[a][b], self.cut[b][a]) = (cut, cut);
        }
    }

    fn replicate(&mut self) {
        for index in 0..self.nodes.len() {
            if self.nodes[index].is_dead || self.nodes[index].is_frozen {
                continue;
            }
            if self.nodes[index].is_primary {
                self.nodes[index].lsn += self.dice.roll(20);
                continue;
            }
            let upstream = self.nodes[self.nodes[index].conninfo].clone();
            let linked = !self.cut[index][self.nodes[index].conninfo] && index != self.nodes[index].conninfo;
            let now = self.now;
            let node = &mut self.nodes[index];
            if linked && upstream.is_dead {
                node.receiver = false; // reset
            } else if linked && !upstream.is_frozen {
                let fork = upstream.forks.get(&node.timeline).copied();
                let fits = match fork {
                    Some(fork) => node.lsn <= fork,
                    None => node.timeline == upstream.timeline && (node.lsn <= upstream.lsn),
                };
                node.receiver = fits && (node.receiver || self.dice.one_in(20));
                if node.receiver {
                    node.heard = now;
                    if self.dice.one_in(3) {
                        (node.lsn, node.timeline, node.forks) = (upstream.lsn, upstream.timeline, upstream.forks);
                    }
                }
            } else if now > node.heard + RECEIVER_TIMEOUT {
                node.receiver = false;
            }
        }
    }

    // --- what PostgreSQL does ---

    fn execute(&mut self, index: usize, command: &Command) -> Outcome {
        let node = &mut self.nodes[index];
        match command {
            Command::Promote { .. } if node.is_primary => Outcome::Done,
            Command::Promote { .. } if node.receiver => Outcome::Refused("it streams again".into()),
            Command::Promote { .. } => {
                let from = node.timeline;
                node.forks.insert(from, node.lsn);
                node.timeline += 1;
                node.is_primary = true;
                self.tell(&format!("pg{index} is promoted from timeline {from}"));
                let first = *self.promoted.entry(from).or_insert(index);
                assert_eq!(first, index, "seed {}: two nodes were promoted from timeline {from}", self.seed);
                Outcome::Done
            }
            Command::Repoint { .. } if node.is_primary => Outcome::NotDone("it is no standby".into()),
            Command::Repoint { host, .. } => {
                node.conninfo = host[2..].parse().unwrap();
                node.receiver = false;
                assert_ne!(node.conninfo, index, "seed {}: a loop", self.seed);
                Outcome::Done
            }
            other => Outcome::NotDone(format!("{other:?}")),
        }
    }

    // --- the probers ---

    fn probe(&mut self, index: usize) {
        if self.nodes[index].busy || self.now < self.paused_until {
            return;
        }
        let order = self.nodes[index].orders.pop();
        if order.is_none() && self.now < self.nodes[index].next_probe {
            return;
        }
        self.nodes[index].busy = true;
        self.nodes[index].next_probe = self.now + INTERVAL;
        let slowest = if self.dice.one_in(50) { 400 } else { 10 };
        let delay = 1 + self.dice.roll(slowest);
        let is_linked = !self.cut[index][self.nodes.len()];
        let id = NodeId(index as u16);
        let fails = |kind| Event::ProbeFailed { node: id, failure: Failure::new(kind, "no answer") };
        let (after, event) = match order {
            None if is_linked && self.nodes[index].is_dead => (delay, fails(FailureKind::Unreachable)),
            None if !is_linked || self.nodes[index].is_frozen || delay > TIMEOUT => {
                (TIMEOUT, fails(FailureKind::TimedOut))
            }
            None => (delay, Event::Observed { node: id, observation: self.observe(index) }),
            Some(command) => {
                let (after, outcome) = self.send(index, &command, is_linked, delay);
                (after, Event::Performed { node: id, command, outcome })
            }
        };
        self.inbox.push((self.now + after, index, event));
    }

    fn send(&mut self, index: usize, command: &Command, is_linked: bool, delay: u64) -> (u64, Outcome) {
        if self.nodes[index].is_dead || !is_linked {
            let arrives_never = self.dice.one_in(2);
            let why = "no connection".to_owned();
            return (TIMEOUT, if arrives_never { Outcome::NotDone(why) } else { Outcome::Unknown(why) });
        }
        if self.nodes[index].is_frozen {
            self.nodes[index].pending.push(command.clone());
            return (TIMEOUT, Outcome::Unknown("no answer".to_owned()));
        }
        if matches!(command, Command::Promote { .. }) {
            self.nodes[index].pending.clear(); // the connections they wait on are ended first
        }
        let outcome = self.execute(index, command);
        let is_lost = self.dice.one_in(20);
        (delay, if is_lost { Outcome::Unknown("the answer is lost".to_owned()) } else { outcome })
    }

    fn observe(&self, index: usize) -> Observation {
        let node = &self.nodes[index];
        Observation {
            at: self.instant(),
            round_trip_us: 100,
            in_recovery: !node.is_primary,
            system_identifier: 7,
            timeline: node.timeline,
            received: Some(Lsn(node.lsn)),
            replayed: Some(Lsn(node.lsn)),
            replay_delay_ms: None,
            inserted: None,
            has_receiver: node.receiver,
            heard_ms: None,
            severed_from: None,
            sync_name: None,
            sync_names: None,
            upstream: node.receiver.then(|| (format!("pg{}", node.conninfo), 5432)),
            version_num: 150_018,
            version: "15.18".into(),
        }
    }

    // --- the proxy ---

    fn hear(&mut self) {
        while let Some((due, _)) = self.controller.deadline().filter(|(due, _)| *due <= self.instant()) {
            self.handle(Event::Tick);
            let next = self.controller.deadline();
            assert!(next.is_none_or(|(next, _)| next > due), "seed {}: a deadline that does not move", self.seed);
        }
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.inbox).into_iter().partition(|(at, ..)| *at <= now);
        self.inbox = later;
        let mut due: Vec<_> = due;
        due.sort_by_key(|(at, ..)| *at);
        for (_, node, event) in due {
            self.nodes[node].busy = false;
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        for action in self.controller.handle(event, self.instant()) {
            match action {
                Action::Publish(topology) => self.publish(topology),
                Action::Log { level, text } if self.tells => println!("{:6} {level:?} {text}", self.now),
                Action::Log { .. } => {}
                Action::Ask(node) => self.nodes[usize::from(node.0)].next_probe = self.now,
                Action::Cut(_) | Action::Run { .. } | Action::Remember(_) | Action::Answer { .. } => {}
                Action::Perform { node, command } => {
                    let index = usize::from(node.0);
                    if matches!(command, Command::Promote { .. }) {
                        self.check_order(index);
                        // The worst moment: the order waits in a frozen node, and comes true when it thaws.
                        self.nodes[index].is_frozen |= self.now < TROUBLE && self.dice.one_in(4);
                    }
                    self.nodes[index].orders.insert(0, command);
                }
            }
        }
    }

    fn publish(&mut self, topology: Topology) {
        assert!(topology.epoch >= self.topology.epoch, "seed {}: the epoch falls", self.seed);
        if let Some(primary) = topology.primary {
            let timeline = topology.node(primary).observation.as_ref().unwrap().timeline;
            assert!(timeline >= self.served_timeline, "seed {}: an older timeline is served", self.seed);
            self.served_timeline = timeline;
        }
        self.topology = topology;
    }

    // --- what must hold ---

    /// Keeps the books for `check_order`.
    fn watch(&mut self) {
        let proxy = self.nodes.len();
        let works = |node: &Node| !node.is_dead && !node.is_frozen;
        let hears = |standby: usize, primary: usize| {
            let node = &self.nodes[standby];
            works(node)
                && !node.is_primary
                && !self.cut[standby][proxy]
                && node.receiver
                && node.conninfo == primary
                && !self.cut[standby][primary]
        };
        let mut reachable = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_primary && works(node)) {
            let seen = !self.cut[index][proxy] || (0..proxy).any(|standby| hears(standby, index));
            if seen && self.now >= self.paused_until {
                let since = self.reachable_since.get(&index).copied().unwrap_or(self.now);
                reachable.insert(index, if node.timeline >= self.served_timeline { since } else { self.now });
            }
        }
        let alone = (0..proxy)
            .all(|standby| self.nodes[standby].is_primary || !works(&self.nodes[standby]) || self.cut[standby][proxy]);
        self.reachable_since = reachable;
        self.alone_since = alone.then(|| self.alone_since.unwrap_or(self.now));
    }

    /// Somebody is about to be promoted.
    fn check_order(&mut self, index: usize) {
        let from = self.nodes[index].timeline;
        self.tell(&format!("pg{index} on timeline {from} is told to promote"));
        if self.nodes[index].is_primary || self.ordered.get(&from) == Some(&index) {
            return; // told again
        }
        self.ordered.insert(from, index);
        let long_ago = self.now.saturating_sub(2 * RECEIVER_TIMEOUT);
        for (primary, since) in &self.reachable_since {
            let is_current = self.nodes[*primary].timeline >= from;
            assert!(!is_current || *since > long_ago, "seed {}: pg{primary} works and is connected", self.seed);
        }
        assert!(self.alone_since.is_none_or(|since| since > long_ago), "seed {}: who is blind promotes", self.seed);
    }

    fn check_the_end(&self) {
        let newest = self.nodes.iter().map(|node| node.timeline).max().unwrap();
        let primary = self.nodes.iter().position(|node| node.is_primary && node.timeline == newest);
        let served = self.topology.primary.map(|id| usize::from(id.0));
        assert_eq!(served, primary, "seed {}: {:?}", self.seed, self.topology.no_primary_because);
        assert!(primary.is_some(), "seed {}: nobody is the primary", self.seed);
    }

    fn tell(&self, text: &str) {
        if self.tells {
            println!("{:6} {text}", self.now);
        }
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }
}
