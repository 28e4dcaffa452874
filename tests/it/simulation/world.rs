//! The world of one play: time goes from event to event; what is due is handed to whom it concerns.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use pgherd::cluster::{Command, Event as Heard};

use super::coverage::Coverage;
use super::dice::Dice;
use super::plan::Plan;
use super::postgres::{Life, Ms, Names, Node, Writer};
use super::proxy::Proxy;
use super::wal::{Branches, Position};

/// Trouble ends here, and all is mended.
pub(super) const TROUBLE: Ms = 20_000;
/// By then all must be well again.
pub(super) const CALM: Ms = 20_000;

/// What is due at some time. Numbers tell answers and connections apart: what belongs to an older one is void.
#[derive(Clone, Debug)]
pub(super) enum Due {
    Trouble,
    Mend,
    Write,
    // --- the proxy's; `process` is its incarnation ---
    Start,
    Tick { process: u32, number: u64 },
    Wake { process: u32, node: usize, number: u64 },
    ProbeArrives { process: u32, node: usize, number: u64, asked: Ms },
    Hear { process: u32, node: usize, number: u64, heard: Box<Heard> },
    Ran { process: u32, heard: Box<Heard> },
    OrderArrives { process: u32, node: usize, number: u64, command: Command },
    OrderIsDone { process: u32, node: usize, number: u64, command: Command },
    SessionEnds { process: u32, node: usize },
    Drained { process: u32 },
    Order { process: u32 },
    // --- PostgreSQL's ---
    ClientWrite { node: usize, writer: Writer, cuts: u64 },
    Connect { standby: usize, attempt: u64 },
    Send { standby: usize, connection: u64 },
    Arrive { standby: usize, connection: u64, at: Position },
    Acknowledge { standby: usize, connection: u64, upstream: usize, lsn: u64 },
    Reset { standby: usize, connection: u64 },
    SenderEnds { upstream: usize, standby: usize, connection: u64 },
    Promoted { node: usize, promotion: u64 },
    Started { node: usize, attempt: u64 },
    Thaw { node: usize },
    Stopped { node: usize },
    Relieve { node: usize },
}

struct Timed {
    at: Ms,
    number: u64,
    due: Due,
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) tells: bool,
    pub(super) dice: Dice,
    pub(super) plan: Plan,
    pub(super) now: Ms,
    start: Instant,
    heap: BinaryHeap<Reverse<Timed>>,
    numbers: u64,
    pub(super) branches: Branches,
    pub(super) nodes: Vec<Node>,
    /// Broken links; the proxy is the last one.
    pub(super) cut: Vec<Vec<bool>>,
    pub(super) proxy: Proxy,
    pub(super) is_mended: bool,
    /// The furthest write that was acknowledged to anybody (without a quorum: to a client of the proxy's).
    pub(super) acknowledged: Position,
    /// `FAILOVER … FORCE` was ordered: what it costs was accepted.
    pub(super) is_forced: bool,
    /// Who was promoted from which branch.
    pub(super) promoted: BTreeMap<usize, usize>,
    pub(super) coverage: Coverage,
}

// === impl World ===

impl World {
    pub(super) fn new(seed: u64, tells: bool) -> Self {
        let mut dice = Dice(seed);
        let plan = Plan::draw(&mut dice);
        let count = plan.nodes;
        let nodes = (0..count).map(|index| plan.node(index, &mut dice)).collect();
        let proxy = Proxy::new(&plan);
        let mut world = Self {
            seed,
            tells,
            dice,
            now: 0,
            start: Instant::now(),
            heap: BinaryHeap::new(),
            numbers: 0,
            branches: Branches::new(),
            nodes,
            cut: vec![vec![false; count + 1]; count + 1],
            proxy,
            is_mended: false,
            acknowledged: Position { branch: 0, lsn: 0 },
            is_forced: false,
            promoted: BTreeMap::new(),
            coverage: Coverage::default(),
            plan,
        };
        world.tell(|w| format!("{:?}", w.plan));
        (0..count).filter(|index| *index > 0).for_each(|standby| world.connect_soon(standby, 0));
        world.plan_for(1, Due::Start);
        world.plan_for(300, Due::Write);
        world.plan_for(2000, Due::Trouble);
        world.plan_for(TROUBLE, Due::Mend);
        world
    }

    pub(super) fn play(mut self) -> Coverage {
        while let Some(Reverse(timed)) = self.heap.pop() {
            self.now = timed.at;
            if self.now > TROUBLE + CALM {
                break;
            }
            self.coverage.steps += 1;
            self.happen(timed.due);
        }
        self.check_the_end();
        self.coverage
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Trouble => self.trouble(),
            Due::Mend => self.mend(),
            Due::Write => self.write(),
            Due::Start
            | Due::Tick { .. }
            | Due::Wake { .. }
            | Due::Hear { .. }
            | Due::Ran { .. }
            | Due::Drained { .. }
            | Due::Order { .. } => self.proxy_happens(due),
            Due::ProbeArrives { process, node, number, asked } => self.answer_probe(process, node, number, asked),
            Due::OrderArrives { process, node, number, command } => self.take_command(process, node, number, command),
            Due::OrderIsDone { process, node, number, command } => self.execute(process, node, number, &command),
            Due::SessionEnds { process, node } => self.end_session(process, node),
            Due::ClientWrite { node, writer, cuts } => self.take_write(node, writer, cuts),
            Due::Connect { standby, attempt } => self.connect(standby, attempt),
            Due::Send { standby, connection } => self.send(standby, connection),
            Due::Arrive { standby, connection, at } => self.arrive(standby, connection, at),
            Due::Acknowledge { standby, connection, upstream, lsn } => {
                self.take_acknowledgement(standby, connection, upstream, lsn);
            }
            Due::Reset { standby, connection } => self.reset(standby, connection),
            Due::SenderEnds { upstream, standby, connection } => self.end_sender(upstream, standby, connection),
            Due::Promoted { node, promotion } => self.become_primary(node, promotion),
            Due::Started { node, attempt } => self.started(node, attempt),
            Due::Thaw { node } => self.thaw(node),
            Due::Stopped { node } => {
                if self.nodes[node].is_stopping {
                    self.kill(node, Life::Dead);
                }
            }
            Due::Relieve { node } => {
                (self.nodes[node].is_full, self.nodes[node].denies) = (false, false);
            }
        }
    }

    // --- time ---

    pub(super) fn plan_for(&mut self, at: Ms, due: Due) {
        self.numbers += 1;
        self.heap.push(Reverse(Timed { at: at.max(self.now), number: self.numbers, due }));
    }

    pub(super) fn after(&mut self, delay: Ms, due: Due) {
        self.plan_for(self.now + delay, due);
    }

    /// Unique.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn instant(&self, at: Ms) -> Instant {
        self.start + Duration::from_millis(at)
    }

    // --- the network ---

    /// Of one message.
    pub(super) fn delay(&mut self) -> Ms {
        match self.dice.roll(100) {
            0 if !self.is_mended => self.dice.between(20, 400),
            1..=4 => self.dice.between(3, 20),
            _ => self.dice.between(0, 2),
        }
    }

    pub(super) fn is_linked(&self, a: usize, b: usize) -> bool {
        !self.cut[a][b]
    }

    pub(super) fn is_linked_to_proxy(&self, node: usize) -> bool {
        !self.cut[node][self.nodes.len()]
    }

    // --- words ---

    /// For who asked for the story.
    pub(super) fn tell(&self, text: impl FnOnce(&Self) -> String) {
        if self.tells {
            println!("{:6} {}", self.now, text(self));
        }
    }

    pub(super) fn fail(&self, why: &str) -> ! {
        panic!("seed {}, at {} ms: {why}", self.seed, self.now)
    }

    pub(super) fn place(&self, node: usize) -> String {
        let at = self.nodes[node].at;
        format!("pg{node} ({}/{})", self.branches.timeline(at.branch), at.lsn)
    }
}

// === impl Timed ===

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

// === impl Plan ===

impl Plan {
    fn node(&self, index: usize, dice: &mut Dice) -> Node {
        let upstream = match index {
            0 => None,
            1 => Some(0),
            _ if self.cascades && dice.one_in(2) => Some(dice.between(1, index as u64 - 1) as usize),
            _ => Some(0),
        };
        let mut list: Vec<usize> = (0..self.nodes).filter(|other| *other != index).collect();
        if !self.wants_quorum || (index > 0 && dice.one_in(30)) {
            list.clear(); // that one must never be promoted
        }
        Node::new(index, upstream, Names { needed: self.needed, is_first: self.is_first, list })
    }
}
