//! The process under test: the real controller, its probers, what it performs; and what becomes of it.

use std::collections::{BTreeMap, VecDeque};

use pgherd::cluster::{
    Action, Command, Controller, Event as Heard, Failure, FailureKind, NodeId, Order, OrderId, Outcome, Record,
    Topology, status::State,
};

use super::plan::Plan;
use super::postgres::Ms;
use super::world::{Due, World};

/// Between two probes, however urgent.
const SHORTEST_PAUSE: Ms = 10;
/// For one command's answer.
const ANSWER: Ms = 2000;
/// Commands that may wait for a node's prober.
const MAX_ORDERS: usize = 8;

pub(super) struct Proxy {
    /// Counts the processes: what belongs to an earlier one is void.
    pub(super) process: u32,
    /// `None`: it is not running.
    pub(super) controller: Option<Controller>,
    pub(super) paused_until: Ms,
    pub(super) topology: Topology,
    /// What is in the state file.
    pub(super) record: Record,
    probers: Vec<Prober>,
    /// The tick that is planned.
    tick: u64,
    is_draining: bool,
    /// Unanswered.
    pub(super) orders: BTreeMap<OrderId, (Order, Ms)>,
    /// How often the servers of each node were closed.
    pub(super) cuts: Vec<u64>,
    /// Events that are to be heard right after this one.
    queue: VecDeque<Heard>,
    pub(super) books: super::invariants::Books,
}

#[derive(Default)]
struct Prober {
    /// What is awaited: its number.
    open: Option<Open>,
    orders: VecDeque<Command>,
    is_asked: bool,
    begun: Ms,
    wake: u64,
}

struct Open {
    number: u64,
    is_probe: bool,
    /// The node has got it.
    has_arrived: bool,
}

// === impl Proxy ===

impl Proxy {
    pub(super) fn new(plan: &Plan) -> Self {
        let nodes = plan.configured();
        Self {
            process: 1,
            controller: None,
            paused_until: 0,
            topology: Topology::unknown(&nodes),
            record: Record::default(),
            probers: nodes.iter().map(|_| Prober::default()).collect(),
            tick: 0,
            is_draining: false,
            orders: BTreeMap::new(),
            cuts: vec![0; nodes.len()],
            queue: VecDeque::new(),
            books: super::invariants::Books::default(),
        }
    }

    pub(super) fn arrived(&mut self, process: u32, node: usize, number: u64) {
        if let Some(open) = self.probers[node].open.as_mut().filter(|open| open.number == number) {
            open.has_arrived = process == self.process;
        }
    }
}

// === impl World ===

impl World {
    pub(super) fn proxy_happens(&mut self, due: Due) {
        if self.now < self.proxy.paused_until {
            return self.plan_for(self.proxy.paused_until, due);
        }
        let now = self.proxy.process;
        match due {
            Due::Start => self.start(),
            Due::Tick { process, number } if process == now && number == self.proxy.tick => self.tick(),
            Due::Wake { process, node, number } if process == now && number == self.proxy.probers[node].wake => {
                self.go_on(node);
            }
            Due::Hear { process, node, number, heard } if process == now => self.hear(node, number, *heard),
            Due::Ran { process, heard } if process == now => self.handle(*heard),
            Due::Drained { process } if process == now => self.look_whether_drained(),
            Due::Order { process } if process == now => self.give_an_order(),
            _ => {}
        }
    }

    fn start(&mut self) {
        let process = self.proxy.process;
        self.tell(|w| format!("the proxy starts ({process}): {:?}", w.proxy.record));
        let (nodes, settings) = (self.plan.configured(), self.plan.settings());
        let controller = Controller::resume(&nodes, settings, &self.proxy.topology, &self.proxy.record);
        self.proxy.controller = Some(controller);
        (0..nodes.len()).for_each(|node| self.go_on(node));
        let first = self.dice.between(500, 3000);
        self.after(first, Due::Order { process });
        self.plan_tick();
    }

    /// The process ends here; what it has ordered may still come true.
    fn crash(&mut self) {
        let state = self.proxy.topology.status.state;
        self.coverage.count_crash(state);
        let (is_reload, old) = (self.dice.one_in(4), self.proxy.process);
        self.tell(|_| {
            format!("the proxy {} while {}", if is_reload { "reloads" } else { "is killed" }, state.as_str())
        });
        self.proxy.process += 1;
        self.proxy.controller = None;
        self.proxy.queue.clear();
        self.proxy.is_draining = false;
        self.proxy.orders.clear();
        self.proxy.probers.iter_mut().for_each(|prober| *prober = Prober::default());
        if !is_reload {
            self.proxy.topology = Topology::unknown(&self.plan.configured());
        }
        for node in 0..self.nodes.len() {
            let after = self.dice.between(1, 50);
            self.after(after, Due::SessionEnds { process: old, node });
            if !is_reload {
                self.cut_clients(node);
            }
        }
        let after = if is_reload { 1 } else { self.dice.pick(&[20, 300, 2000]) };
        self.after(after, Due::Start);
    }

    fn crashes_here(&mut self) -> bool {
        if !self.plan.crashes || self.is_over() {
            return false;
        }
        let one_in = match self.proxy.topology.status.state {
            State::Up | State::Unknown => 2500,
            State::Suspect | State::Blind | State::Refusing => 300,
            _ => 50,
        };
        self.dice.one_in(one_in)
    }

    // --- the probers ---

    /// The prober is free: what does it do next?
    fn go_on(&mut self, node: usize) {
        let (now, process, interval) = (self.now, self.proxy.process, self.plan.interval);
        let number = self.number();
        let prober = &mut self.proxy.probers[node];
        if prober.open.is_some() {
            return;
        }
        let due = if prober.begun == 0 {
            now
        } else {
            prober.begun + if prober.is_asked { SHORTEST_PAUSE } else { interval }
        };
        if let Some(command) = prober.orders.pop_front() {
            prober.open = Some(Open { number, is_probe: false, has_arrived: false });
            let id = NodeId(node as u16);
            let outcome = Outcome::Unknown("no answer".to_owned());
            let late = Heard::Performed { node: id, command: command.clone(), outcome };
            let delay = self.delay();
            self.after(delay, Due::OrderArrives { process, node, number, command });
            self.after(ANSWER, Due::Hear { process, node, number, heard: Box::new(late) });
        } else if now >= due {
            (prober.begun, prober.is_asked) = (now, false);
            prober.open = Some(Open { number, is_probe: true, has_arrived: false });
            let failure = Failure::new(FailureKind::TimedOut, "no answer");
            let late = Heard::ProbeFailed { node: NodeId(node as u16), failure };
            let delay = self.delay();
            self.after(delay, Due::ProbeArrives { process, node, number, asked: now });
            self.after(self.plan.timeout, Due::Hear { process, node, number, heard: Box::new(late) });
        } else {
            prober.wake = number;
            self.plan_for(due, Due::Wake { process, node, number });
        }
    }

    pub(super) fn wake_prober(&mut self, node: usize) {
        if self.proxy.controller.is_some() {
            self.proxy.probers[node].is_asked = true;
            self.go_on(node);
        }
    }

    fn hear(&mut self, node: usize, number: u64, heard: Heard) {
        let prober = &mut self.proxy.probers[node];
        let Some(open) = prober.open.take_if(|open| open.number == number) else { return };
        let heard = match heard {
            // Without a connection it is certain that nothing was done.
            Heard::Performed { node, command, outcome: Outcome::Unknown(why) } if !open.has_arrived => {
                let never = self.dice.one_in(2);
                let outcome = if never { Outcome::NotDone(why) } else { Outcome::Unknown(why) };
                Heard::Performed { node, command, outcome }
            }
            other => other,
        };
        if !open.is_probe {
            self.proxy.probers[node].begun = 0; // after an order it probes
        }
        self.handle(heard);
        if self.proxy.controller.is_some() {
            self.go_on(node);
        }
    }

    // --- the controller ---

    fn handle(&mut self, heard: Heard) {
        self.proxy.queue.push_back(heard);
        while let Some(heard) = self.proxy.queue.pop_front() {
            let now = self.instant(self.now);
            let Some(controller) = &mut self.proxy.controller else { return };
            for action in controller.handle(heard, now) {
                if self.crashes_here() {
                    return self.crash();
                }
                self.perform(action);
            }
        }
        self.plan_tick();
        if self.proxy.controller.as_ref().is_some_and(|c| c.drains().is_some()) && !self.proxy.is_draining {
            self.proxy.is_draining = true;
            let process = self.proxy.process;
            let after = self.dice.between(1, 100);
            self.after(after, Due::Drained { process });
        }
    }

    fn tick(&mut self) {
        let due = self.deadline();
        self.handle(Heard::Tick);
        if let (Some(due), Some(next)) = (due, self.deadline())
            && next <= due
        {
            self.fail("a deadline that does not move");
        }
    }

    fn deadline(&self) -> Option<std::time::Instant> {
        self.proxy.controller.as_ref()?.deadline().map(|(at, _)| at)
    }

    fn plan_tick(&mut self) {
        let Some(at) = self.deadline() else { return };
        let wait = at.saturating_duration_since(self.instant(self.now));
        let (number, process) = (self.number(), self.proxy.process);
        self.proxy.tick = number;
        self.after(wait.as_micros().div_ceil(1000) as u64, Due::Tick { process, number });
    }

    fn look_whether_drained(&mut self) {
        self.proxy.is_draining = false;
        let Some(drains) = self.proxy.controller.as_ref().and_then(Controller::drains) else { return };
        if !self.is_lent(usize::from(drains.0)) {
            return self.handle(Heard::Drained(drains));
        }
        self.proxy.is_draining = true;
        let process = self.proxy.process;
        self.after(5, Due::Drained { process });
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Publish(topology) => self.publish(topology),
            Action::Log { level, text } => self.tell(|_| format!("  {level:?} {text}")),
            Action::Ask(node) => self.wake_prober(usize::from(node.0)),
            Action::Cut(node) => self.cut_clients(usize::from(node.0)),
            Action::Remember(record) => self.remember(record),
            Action::Answer { id, result } => {
                self.tell(|_| format!("  answer to {id}: {result:?}"));
                self.coverage.count(if result.is_ok() { "order done" } else { "order refused" });
                if self.proxy.orders.remove(&id).is_none() {
                    self.fail("an answer to no order");
                }
            }
            Action::Run { hook, .. } => {
                let result = if self.dice.one_in(8) { Err("it failed".to_owned()) } else { Ok(()) };
                let (process, after) = (self.proxy.process, self.dice.between(5, 200));
                self.coverage.count("hook");
                self.after(after, Due::Ran { process, heard: Box::new(Heard::Ran { hook, result }) });
            }
            Action::Perform { node, command } => {
                let index = usize::from(node.0);
                self.tell(|w| format!("  {} shall {command:?}", w.place(index)));
                self.check_command(index, &command);
                let prober = &mut self.proxy.probers[index];
                if prober.orders.len() >= MAX_ORDERS {
                    let outcome = Outcome::NotDone("it is still busy with another order".to_owned());
                    return self.proxy.queue.push_back(Heard::Performed { node, command, outcome });
                }
                prober.orders.push_back(command);
                self.go_on(index);
            }
        }
    }

    // --- the operator ---

    fn give_an_order(&mut self) {
        let (id, process) = (self.number(), self.proxy.process);
        let to = NodeId(self.dice.roll(self.nodes.len() as u64) as u16);
        let next = self.dice.between(300, 4000);
        self.after(next, Due::Order { process });
        let order = if self.is_over() {
            let status = &self.proxy.topology.status;
            match status.detached.first() {
                _ if status.is_paused => Order::Resume,
                Some(node) => Order::Attach(*node),
                None => return,
            }
        } else if !self.plan.has_operator {
            return;
        } else {
            match self.dice.roll(12) {
                0..=4 => Order::Switchover { to: Some(to).filter(|_| self.dice.one_in(2)) },
                5 | 6 => Order::Failover { to, force: self.plan.may_force && self.dice.one_in(2) },
                7 => Order::Detach(to),
                8 => Order::Attach(to),
                9 => Order::Pause,
                _ => Order::Resume,
            }
        };
        self.tell(|_| format!("order {id}: {order:?}"));
        self.is_forced |= matches!(order, Order::Failover { force: true, .. });
        self.proxy.orders.insert(id, (order, self.now));
        self.handle(Heard::Ordered { id, order });
    }
}
