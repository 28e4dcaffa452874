//! Who gets a server next: the bookkeeping of one node's pools. Pure: servers and waiters are opaque.
//!
//! Two budgets hold whichever worker asks: servers per pool, and servers per node over all its pools. A pool's waiters
//! are served first come, first served; pools that lack only the node's budget are served in the order they asked. A
//! busy pool gives servers up to a starving one until they have about equally many: no pool waits in vain.

use std::collections::VecDeque;
use std::time::Instant;

/// Index of a pool within its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub usize);

/// What a waiter is given.
#[derive(Debug, PartialEq, Eq)]
pub enum Grant<S> {
    Server(S),
    /// Room in the budget, already counted: open a server, then call `connected`, or `closed` if that fails.
    Connect,
}

/// The other end of a wait.
pub trait Waiter<S> {
    /// `Err` gives the grant back: the waiter is gone.
    fn deliver(self, grant: Grant<S>) -> Result<(), Grant<S>>;
}

#[derive(Debug, PartialEq, Eq)]
pub enum Ask<S> {
    Granted(Grant<S>),
    /// The node's budget is used up by idle servers of other pools: close this one, the room is granted.
    GrantedFor(S),
    /// Nothing is free: wait (`Queue::wait`) or give up.
    Busy,
    /// As many wait already as may wait.
    Full,
}

pub struct Queue<S, W> {
    max_servers: usize,
    /// Open or being opened, over all pools.
    servers: usize,
    pools: Vec<PoolState<S, W>>,
    /// Slots of removed pools.
    vacant: Vec<Slot>,
    next_ticket: u64,
}

struct PoolState<S, W> {
    size: usize,
    max_waiting: usize,
    idle: Vec<Idle<S>>,
    lent: usize,
    connecting: usize,
    waiters: VecDeque<Waiting<W>>,
}

struct Idle<S> {
    server: S,
    since: Instant,
    worker: usize,
}

struct Waiting<W> {
    ticket: u64,
    since: Instant,
    waiter: W,
}

/// Names a waiter, to be taken out of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub lent: usize,
    pub idle: usize,
    pub connecting: usize,
    pub waiting: usize,
}

// === impl Queue ===

impl<S, W: Waiter<S>> Queue<S, W> {
    pub fn new(max_servers: usize) -> Self {
        Self { max_servers, servers: 0, pools: Vec::new(), vacant: Vec::new(), next_ticket: 0 }
    }

    pub fn add_pool(&mut self, size: usize, max_waiting: usize) -> Slot {
        let pool = PoolState { size, max_waiting, idle: Vec::new(), lent: 0, connecting: 0, waiters: VecDeque::new() };
        if let Some(slot) = self.vacant.pop() {
            self.pools[slot.0] = pool;
            return slot;
        }
        self.pools.push(pool);
        Slot(self.pools.len() - 1)
    }

    /// Of the node from now on; idle servers beyond it, to be closed. Those at work close as they come back.
    pub fn set_max_servers(&mut self, max_servers: usize) -> Vec<S> {
        self.max_servers = max_servers.max(1);
        let mut gone = Vec::new();
        while self.servers > self.max_servers
            && let Some(server) = self.take_oldest_idle()
        {
            self.servers -= 1;
            gone.push(server);
        }
        self.serve_starving();
        gone
    }

    /// Other limits of a pool from now on; its idle servers beyond `size`, to be closed. Those at work close as they come back.
    pub fn resize(&mut self, slot: Slot, size: usize, max_waiting: usize) -> Vec<S> {
        let pool = &mut self.pools[slot.0];
        (pool.size, pool.max_waiting) = (size, max_waiting);
        let surplus = pool.open().saturating_sub(size).min(pool.idle.len());
        let gone: Vec<S> = pool.idle.drain(..surplus).map(|idle| idle.server).collect();
        self.servers -= gone.len();
        self.serve(slot);
        gone
    }

    /// Forgets a pool that has nothing; its slot is another's afterwards. Whether it had nothing.
    pub fn remove_pool(&mut self, slot: Slot) -> bool {
        let pool = &self.pools[slot.0];
        let empty = pool.open() == 0 && pool.waiters.is_empty() && !self.vacant.contains(&slot);
        if empty {
            self.vacant.push(slot);
        }
        empty
    }

    /// The newest idle server (of `worker`, if one is), or room to open one.
    pub fn ask(&mut self, slot: Slot, worker: usize) -> Ask<S> {
        let pool = &mut self.pools[slot.0];
        if pool.waiters.is_empty() {
            if let Some(server) = pool.pop_idle(worker) {
                pool.lent += 1;
                return Ask::Granted(Grant::Server(server));
            }
            if pool.open() < pool.size {
                if self.servers < self.max_servers {
                    self.servers += 1;
                    pool.connecting += 1;
                    return Ask::Granted(Grant::Connect);
                }
                if let Some(server) = self.take_oldest_idle() {
                    self.pools[slot.0].connecting += 1;
                    return Ask::GrantedFor(server);
                }
            }
        }
        let pool = &self.pools[slot.0];
        if pool.waiters.len() >= pool.max_waiting { Ask::Full } else { Ask::Busy }
    }

    /// Takes a place in the queue. What came free since `ask` was answered is given out at once: nobody else would.
    pub fn wait(&mut self, slot: Slot, waiter: W, now: Instant) -> Ticket {
        let ticket = self.wait_for_server(slot, waiter, now);
        self.serve(slot);
        ticket
    }

    /// As `wait`, but with servers lent that will come back, room to open one is not given out at once: PostgreSQL has
    /// just refused that.
    pub fn wait_for_server(&mut self, slot: Slot, waiter: W, now: Instant) -> Ticket {
        self.next_ticket += 1;
        let waiting = Waiting { ticket: self.next_ticket, since: now, waiter };
        let pool = &mut self.pools[slot.0];
        pool.waiters.push_back(waiting);
        while !pool.waiters.is_empty()
            && let Some(idle) = pool.idle.pop()
        {
            if let Some(server) = pool.lend(idle.server) {
                pool.idle.push(Idle { server, ..idle });
            }
        }
        let ticket = Ticket(self.next_ticket);
        if pool.lent == 0 {
            self.serve(slot);
        }
        ticket
    }

    /// The waiter gave up. (A grant that crosses it comes back through `Waiter::deliver`.)
    pub fn give_up(&mut self, slot: Slot, ticket: Ticket) {
        self.pools[slot.0].waiters.retain(|waiting| waiting.ticket != ticket.0);
    }

    /// A server comes back clean: the first waiter gets it, else it is idle. `Some`: to be closed, another pool has its
    /// room.
    pub fn give_back(&mut self, slot: Slot, server: S, worker: usize, now: Instant) -> Option<S> {
        self.pools[slot.0].lent -= 1;
        if self.pools[slot.0].open() >= self.pools[slot.0].size || self.servers > self.max_servers {
            // There were more than there may be by now.
            self.servers -= 1;
            self.serve(slot);
            return Some(server);
        }
        if self.servers >= self.max_servers
            && let Some(other) = self.creditor(slot)
        {
            self.servers -= 1;
            if self.grant_connect(other) {
                return Some(server);
            }
            self.servers += 1;
        }
        let pool = &mut self.pools[slot.0];
        if let Some(server) = pool.lend(server) {
            pool.idle.push(Idle { server, since: now, worker });
            self.serve_starving();
        }
        None
    }

    /// A granted `Connect` has become a server, which is lent.
    pub fn connected(&mut self, slot: Slot) {
        let pool = &mut self.pools[slot.0];
        pool.connecting -= 1;
        pool.lent += 1;
    }

    /// A granted `Connect` came to nothing.
    pub fn not_connected(&mut self, slot: Slot) {
        self.pools[slot.0].connecting -= 1;
        self.servers -= 1;
        self.serve(slot);
    }

    /// As `not_connected`: PostgreSQL is full. Who waits gets a server that comes back, if there are any, and does not
    /// knock as well.
    pub fn refused(&mut self, slot: Slot) {
        self.pools[slot.0].connecting -= 1;
        self.servers -= 1;
        if self.pools[slot.0].lent == 0 {
            self.serve(slot);
        }
    }

    /// A lent server is closed instead of coming back.
    pub fn closed(&mut self, slot: Slot) {
        self.pools[slot.0].lent -= 1;
        self.servers -= 1;
        self.serve(slot);
    }

    /// Takes the idle servers for which `expired(server, idle since)` holds, oldest first, leaving at least `keep`
    /// unless `expired` says it is dead.
    pub fn sweep(&mut self, slot: Slot, mut expired: impl FnMut(&S, Instant, usize) -> bool) -> Vec<S> {
        let pool = &mut self.pools[slot.0];
        let mut gone = Vec::new();
        let mut at = 0;
        while at < pool.idle.len() {
            let open = pool.lent + pool.connecting + pool.idle.len();
            if expired(&pool.idle[at].server, pool.idle[at].since, open) {
                gone.push(pool.idle.remove(at).server);
                self.servers -= 1;
            } else {
                at += 1;
            }
        }
        self.serve(slot);
        gone
    }

    /// Room to open a server that nobody asked for yet (`min_size`); nothing is taken from others for it.
    pub fn ask_spare(&mut self, slot: Slot, min_size: usize) -> bool {
        let pool = &mut self.pools[slot.0];
        if pool.open() >= min_size.min(pool.size) || self.servers >= self.max_servers {
            return false;
        }
        self.servers += 1;
        pool.connecting += 1;
        true
    }

    pub fn counts(&self, slot: Slot) -> Counts {
        let pool = &self.pools[slot.0];
        Counts { lent: pool.lent, idle: pool.idle.len(), connecting: pool.connecting, waiting: pool.waiters.len() }
    }

    pub fn waiting_since(&self, slot: Slot) -> Option<Instant> {
        self.pools[slot.0].waiters.front().map(|waiting| waiting.since)
    }

    /// Lent servers over all pools: the node's load.
    pub fn lent(&self) -> usize {
        self.pools.iter().map(|pool| pool.lent).sum()
    }

    /// After room appeared: the pool's own waiters first, then those of other pools.
    fn serve(&mut self, slot: Slot) {
        while self.servers < self.max_servers && self.grant_connect(slot) {}
        self.serve_starving();
    }

    /// Waiters whose pool has room, and that only the node's budget holds back, in the order they asked.
    fn serve_starving(&mut self) {
        loop {
            let starving = (0..self.pools.len())
                .filter(|at| self.pools[*at].open() < self.pools[*at].size)
                .filter_map(|at| Some((self.pools[at].waiters.front()?.ticket, at)))
                .min();
            let Some((_, at)) = starving else { return };
            if self.servers >= self.max_servers && self.take_oldest_idle().is_none() {
                return;
            }
            // `take_oldest_idle` keeps the count of `servers`: the room it made is granted here.
            self.servers = self.servers.min(self.max_servers - 1);
            if !self.grant_connect(Slot(at)) {
                continue;
            }
        }
    }

    /// With the node's budget used up, the pool to which the server that this one (which has waiters) gets back belongs:
    /// a starving one so much smaller that it brings them nearer to equal, since moving it costs a login; one that has
    /// none at all whenever it asked first.
    fn creditor(&self, slot: Slot) -> Option<Slot> {
        let own = self.pools[slot.0].waiters.front()?.ticket;
        let starving = |at: &usize| *at != slot.0 && self.pools[*at].open() < self.pools[*at].size;
        let waiting = (0..self.pools.len()).filter(starving).filter_map(|at| {
            let pool = &self.pools[at];
            Some((pool.open(), pool.waiters.front()?.ticket, at))
        });
        let (has, first, at) = waiting.min()?;
        // This pool's own number is already one less.
        (has < self.pools[slot.0].open() || (has == 0 && first < own)).then_some(Slot(at))
    }

    fn grant_connect(&mut self, slot: Slot) -> bool {
        let pool = &mut self.pools[slot.0];
        while pool.open() < pool.size {
            let Some(waiting) = pool.waiters.pop_front() else { return false };
            if waiting.waiter.deliver(Grant::Connect).is_ok() {
                pool.connecting += 1;
                self.servers += 1;
                return true;
            }
        }
        false
    }

    /// The idle server of any pool that was unused longest. `servers` still counts it: its room is the caller's.
    fn take_oldest_idle(&mut self) -> Option<S> {
        let pool = self.pools.iter_mut().filter(|pool| !pool.idle.is_empty()).min_by_key(|pool| pool.idle[0].since)?;
        Some(pool.idle.remove(0).server)
    }
}

// === impl PoolState ===

impl<S, W: Waiter<S>> PoolState<S, W> {
    /// To the first waiter that is still there. `Some`: nobody waits.
    fn lend(&mut self, mut server: S) -> Option<S> {
        while let Some(waiting) = self.waiters.pop_front() {
            match waiting.waiter.deliver(Grant::Server(server)) {
                Ok(()) => {
                    self.lent += 1;
                    return None;
                }
                Err(Grant::Server(back)) => server = back,
                Err(Grant::Connect) => unreachable!("a waiter returns what it was given"),
            }
        }
        Some(server)
    }
}

impl<S, W> PoolState<S, W> {
    fn open(&self) -> usize {
        self.lent + self.idle.len() + self.connecting
    }

    fn pop_idle(&mut self, worker: usize) -> Option<S> {
        let at = self.idle.iter().rposition(|idle| idle.worker == worker).or(self.idle.len().checked_sub(1))?;
        Some(self.idle.remove(at).server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    type Log = Rc<RefCell<Vec<(u32, Grant<u32>)>>>;

    struct Fake {
        id: u32,
        gone: bool,
        log: Log,
    }

    impl Waiter<u32> for Fake {
        fn deliver(self, grant: Grant<u32>) -> Result<(), Grant<u32>> {
            if self.gone {
                return Err(grant);
            }
            self.log.borrow_mut().push((self.id, grant));
            Ok(())
        }
    }

    struct World {
        queue: Queue<u32, Fake>,
        log: Log,
        now: Instant,
    }

    fn world(max_servers: usize, sizes: &[usize]) -> World {
        let mut queue = Queue::new(max_servers);
        for size in sizes {
            queue.add_pool(*size, 2);
        }
        World { queue, log: Log::default(), now: Instant::now() }
    }

    impl World {
        fn wait(&mut self, slot: usize, id: u32, gone: bool) -> Ticket {
            self.now += Duration::from_secs(1);
            self.queue.wait(Slot(slot), Fake { id, gone, log: Rc::clone(&self.log) }, self.now)
        }

        fn open(&mut self, slot: usize) {
            assert_eq!(self.queue.ask(Slot(slot), 0), Ask::Granted(Grant::Connect));
            self.queue.connected(Slot(slot));
        }

        fn give_back(&mut self, slot: usize, server: u32) {
            self.now += Duration::from_secs(1);
            assert_eq!(self.queue.give_back(Slot(slot), server, 0, self.now), None);
        }
    }

    #[test]
    fn waiters_are_served_in_their_order_and_gone_ones_are_passed_over() {
        let mut w = world(10, &[1]);
        w.open(0);
        assert_eq!(w.queue.ask(Slot(0), 0), Ask::Busy);
        w.wait(0, 1, true);
        w.wait(0, 2, false);
        assert_eq!(w.queue.ask(Slot(0), 0), Ask::Full);
        w.give_back(0, 7);
        assert_eq!(*w.log.borrow(), [(2, Grant::Server(7))]);
        assert_eq!(w.queue.counts(Slot(0)), Counts { lent: 1, ..Counts::default() });
        w.give_back(0, 7);
        assert_eq!(w.queue.ask(Slot(0), 0), Ask::Granted(Grant::Server(7)));
    }

    #[test]
    fn nobody_overtakes_a_waiter() {
        let mut w = world(10, &[1]);
        w.open(0);
        let ticket = w.wait(0, 1, false);
        assert_eq!(w.queue.ask(Slot(0), 0), Ask::Busy);
        w.queue.give_up(Slot(0), ticket);
        w.give_back(0, 7);
        assert!(w.log.borrow().is_empty());
        assert_eq!(w.queue.ask(Slot(0), 0), Ask::Granted(Grant::Server(7)));
    }

    #[test]
    fn what_came_free_between_asking_and_waiting_is_not_missed() {
        let mut w = world(2, &[1, 2]);
        w.open(0);
        assert_eq!(w.queue.ask(Slot(0), 0), Ask::Busy);
        w.give_back(0, 7);
        w.wait(0, 1, true);
        assert_eq!(w.queue.counts(Slot(0)), Counts { idle: 1, ..Counts::default() });
        w.queue.ask(Slot(0), 0);
        w.give_back(0, 7);
        w.wait(0, 1, false);
        // The node is full with both lent, then one of the other pool is idle, then room.
        w.open(1);
        assert_eq!(w.queue.ask(Slot(1), 0), Ask::Busy);
        w.queue.closed(Slot(0));
        w.wait(1, 2, false);
        assert_eq!(*w.log.borrow(), [(1, Grant::Server(7)), (2, Grant::Connect)]);
        assert_eq!(w.queue.counts(Slot(0)), Counts::default());
        assert_eq!(w.queue.counts(Slot(1)), Counts { lent: 1, connecting: 1, ..Counts::default() });
    }

    #[test]
    fn other_limits_hold_at_once_for_idle_servers_and_waiters_and_later_for_those_at_work() {
        let mut w = world(10, &[3]);
        for _ in 0..3 {
            w.open(0);
        }
        w.wait(0, 1, false);
        // More room: who waits gets it.
        assert_eq!(w.queue.resize(Slot(0), 4, 10), Vec::<u32>::new());
        assert_eq!(*w.log.borrow(), [(1, Grant::Connect)]);
        w.queue.connected(Slot(0));
        w.give_back(0, 7);
        w.give_back(0, 8);
        // Two at work, two idle; one is enough.
        assert_eq!(w.queue.resize(Slot(0), 1, 10), [7, 8]);
        assert_eq!(w.queue.give_back(Slot(0), 9, 0, w.now), Some(9));
        w.give_back(0, 10);
        assert_eq!(w.queue.counts(Slot(0)), Counts { idle: 1, ..Counts::default() });
        assert_eq!(w.queue.ask(Slot(0), 0), Ask::Granted(Grant::Server(10)));
        assert_eq!(w.queue.ask(Slot(0), 0), Ask::Busy);
    }

    #[test]
    fn another_budget_of_the_node_closes_what_is_idle_and_then_what_comes_back() {
        let mut w = world(4, &[4, 4]);
        for slot in [0, 0, 1, 1] {
            w.open(slot);
        }
        w.give_back(0, 7);
        assert_eq!(w.queue.set_max_servers(2), [7]);
        assert_eq!(w.queue.give_back(Slot(1), 8, 0, w.now), Some(8));
        w.give_back(1, 9);
        w.give_back(0, 10);
        w.wait(1, 1, false);
        assert_eq!(*w.log.borrow(), [(1, Grant::Server(9))]);
        w.wait(0, 2, false);
        w.wait(0, 3, false);
        assert_eq!(w.queue.set_max_servers(3), Vec::<u32>::new());
        assert_eq!(w.log.borrow()[1..], [(2, Grant::Server(10)), (3, Grant::Connect)]);
    }

    #[test]
    fn a_closed_server_makes_room_for_a_waiter() {
        let mut w = world(10, &[1]);
        w.open(0);
        w.wait(0, 1, false);
        w.queue.closed(Slot(0));
        assert_eq!(*w.log.borrow(), [(1, Grant::Connect)]);
        w.queue.not_connected(Slot(0));
        assert_eq!(w.queue.counts(Slot(0)), Counts::default());
        w.open(0);
    }

    #[test]
    fn a_full_node_is_not_asked_again_and_again() {
        let mut w = world(10, &[3]);
        w.open(0);
        assert_eq!(w.queue.ask(Slot(0), 0), Ask::Granted(Grant::Connect));
        w.queue.wait_for_server(Slot(0), Fake { id: 1, gone: false, log: Rc::clone(&w.log) }, w.now);
        w.queue.refused(Slot(0));
        assert!(w.log.borrow().is_empty());
        w.give_back(0, 7);
        assert_eq!(*w.log.borrow(), [(1, Grant::Server(7))]);
        w.wait(0, 2, false);
        assert_eq!(w.log.borrow().last(), Some(&(2, Grant::Connect)));
    }

    #[test]
    fn an_idle_server_of_another_pool_gives_way_when_the_node_is_full() {
        let mut w = world(2, &[2, 2]);
        w.open(0);
        w.open(0);
        w.give_back(0, 7);
        assert_eq!(w.queue.ask(Slot(1), 0), Ask::GrantedFor(7));
        w.queue.connected(Slot(1));
        assert_eq!(w.queue.ask(Slot(1), 0), Ask::Busy);
        w.wait(1, 1, false);
        w.give_back(0, 8);
        assert_eq!(*w.log.borrow(), [(1, Grant::Connect)]);
        assert_eq!(w.queue.counts(Slot(0)), Counts::default());
        assert_eq!(w.queue.counts(Slot(1)), Counts { lent: 1, connecting: 1, ..Counts::default() });
    }

    #[test]
    fn the_node_s_room_goes_to_whoever_asked_first() {
        let mut w = world(1, &[1, 1, 1]);
        w.open(0);
        w.wait(2, 1, false);
        w.wait(1, 2, false);
        w.queue.closed(Slot(0));
        assert_eq!(*w.log.borrow(), [(1, Grant::Connect)]);
    }

    #[test]
    fn a_busy_pool_shares_the_node_s_room_with_one_that_starves() {
        let mut w = world(4, &[4, 4]);
        for _ in 0..4 {
            w.open(0);
        }
        for id in 1..=3 {
            w.wait(0, id, false);
            w.wait(1, 10 + id, false);
        }
        assert_eq!(w.queue.give_back(Slot(0), 7, 0, w.now), Some(7));
        w.queue.connected(Slot(1));
        assert_eq!(w.queue.give_back(Slot(0), 8, 0, w.now), Some(8));
        w.queue.connected(Slot(1));
        // Two each: from now on each keeps its own.
        w.give_back(0, 9);
        w.give_back(1, 10);
        let grants = [(11, Grant::Connect), (12, Grant::Connect), (1, Grant::Server(9)), (13, Grant::Server(10))];
        assert_eq!(*w.log.borrow(), grants);
    }

    #[test]
    fn the_last_server_of_a_pool_goes_to_one_that_has_none_only_in_turn() {
        let mut w = world(1, &[1, 1]);
        w.open(0);
        w.wait(0, 1, false);
        w.wait(1, 2, false);
        w.wait(0, 3, false);
        w.give_back(0, 7);
        assert_eq!(w.queue.give_back(Slot(0), 7, 0, w.now), Some(7));
        assert_eq!(*w.log.borrow(), [(1, Grant::Server(7)), (2, Grant::Connect)]);
    }

    #[test]
    fn idle_servers_of_the_asking_worker_come_first_then_the_newest() {
        let mut w = world(10, &[3]);
        for _ in 0..3 {
            w.open(0);
        }
        for (server, worker) in [(1, 1), (2, 0), (3, 1)] {
            w.now += Duration::from_secs(1);
            assert_eq!(w.queue.give_back(Slot(0), server, worker, w.now), None);
        }
        assert_eq!(w.queue.ask(Slot(0), 0), Ask::Granted(Grant::Server(2)));
        assert_eq!(w.queue.ask(Slot(0), 0), Ask::Granted(Grant::Server(3)));
    }

    #[test]
    fn the_slot_of_an_empty_pool_is_used_again() {
        let mut w = world(10, &[1, 1]);
        w.open(0);
        assert!(!w.queue.remove_pool(Slot(0)));
        assert!(w.queue.remove_pool(Slot(1)));
        assert!(!w.queue.remove_pool(Slot(1)));
        assert_eq!(w.queue.add_pool(1, 1), Slot(1));
        assert_eq!(w.queue.add_pool(1, 1), Slot(2));
    }

    #[test]
    fn sweeping_counts_down_and_spares_fill_up() {
        let mut w = world(10, &[3]);
        w.open(0);
        w.give_back(0, 7);
        assert_eq!(w.queue.sweep(Slot(0), |_, _, open| open > 1), Vec::<u32>::new());
        assert_eq!(w.queue.sweep(Slot(0), |server, _, _| *server == 7), [7]);
        assert!(w.queue.ask_spare(Slot(0), 1));
        assert!(!w.queue.ask_spare(Slot(0), 1));
        w.queue.connected(Slot(0));
        w.give_back(0, 8);
        assert_eq!(w.queue.counts(Slot(0)), Counts { idle: 1, ..Counts::default() });
    }
}
