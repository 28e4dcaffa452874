//! Text scenarios for the controller: what the nodes tell, and what must follow. `tests/data/topology/*.txt`,
//! and what is done about a lost primary: `tests/data/failover/*.txt`.
//!
//! ```text
//! ## an external promotion is followed at once
//! nodes pg1 pg2=10.0.0.2:5433 pg3        # host = name and port 5432 unless given; `failures=N` (default 3), `mode=automatic`
//! # `max_lag=MS max_lag_bytes=N slow_start=MS zone=Z primary_weight=N`; of a node: `weight=pg2:50 in=pg2:Z`
//! # `durability=quorum grace=MS witnesses=N pause=MS drain=MS hook=fence` (default: failover is off)
//! 0     pg1 primary tli=1 lsn=0/3000000  # milliseconds from the start; sys=N (default 7)
//! 0     pg2 standby from=pg1 heard=MS severed=pg1 sync=NAME names=ANY_1_(pg1,pg3)
//! 0     pg2 standby tli=1 lsn=0/3000000 replayed=0/2000000 from=pg1 delay=12 paused=yes
//! 1000  pg1 fails refused: text          # refused | timeout | notserving | full | denied | broken
//! 1000  passes                           # deadlines up to then are kept before every event
//! expect primary=pg2 standbys=pg1,pg3 epoch=+1    # `none` for nobody; epoch=N, `same` or `+N` since the last expect
//! expect pg1 role=primary health=refused upstream=pg2 lag=4096 delay=12 weight=50 reason~text warning~text
//! expect because~text                    # why there is no primary
//! 1000  pg2 did promote: not why          # or `done`, `unknown why`; `repoint: …`; `open: opened 700`: xmax
//! 1000  pg2 is cut off lsn=0/4000000     # it did sever: done, and told its position since
//! 1000  order switchover pg2             # `failover pg2 force`, `detach pg2`, `attach pg2`, `pause`, `resume`
//! 1000  drained pg1                      # no client has a server of it any more
//! 1000  ran fence: ok                    # or why it failed
//! 1000  restarts                         # the proxy is killed and started again
//! expect state=revoking waits~text advice~text    # of SHOW CLUSTER; `-` for spaces
//! expect answer ok~text                  # to the last order; `no~why`
//! expect does cut pg1, pg2 promote       # all that was ordered since this was expected last; `nothing`
//! expect log warn~text                   # some line since the last time a log was expected
//! expect no log                          # ditto; `debug` lines don't count
//! ```
//!
//! `~` takes the rest of the line and looks for it in the text.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pgherd::cluster::status::{State, TRANSITIONS};
use pgherd::cluster::{
    Action, Command, Controller, Event, Failure, FailureKind, Hook, Level, Lsn, NodeId, Observation, Order, Outcome,
    Policy, Record, Settings, Share,
};
use pgherd::cluster::{Node, Topology};
use pgherd::config;

#[test]
fn topology_scenarios_hold() {
    scenarios_hold("tests/data/topology", 25);
}

#[test]
fn failover_scenarios_hold() {
    let seen = scenarios_hold("tests/data/failover", 60);
    let drawn: BTreeSet<_> = TRANSITIONS.iter().map(|(from, to, _)| (from.as_str(), to.as_str())).collect();
    let unknown: Vec<_> = seen.difference(&drawn).collect();
    assert!(unknown.is_empty(), "scenarios show what TRANSITIONS of cluster/status.rs does not have: {unknown:?}");
    let unseen: Vec<_> = drawn.difference(&seen).collect();
    assert!(unseen.is_empty(), "no scenario shows {unseen:?}");
}

#[test]
fn the_drawing_of_the_states_is_true() {
    let name = |state: State| state.as_str().replace(' ', "_");
    let mut drawing = "```mermaid\nstateDiagram-v2\n    [*] --> no_primary\n".to_owned();
    for (from, to, why) in TRANSITIONS {
        let _ = writeln!(drawing, "    {} --> {}: {why}", name(*from), name(*to));
    }
    drawing += "```\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = text.find("```mermaid\nstateDiagram").expect("ARCHITECTURE.md draws the states of a failover");
    let end = begin + text[begin + 3..].find("```\n").unwrap() + 7;
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{}{drawing}{}", &text[..begin], &text[end..])).unwrap();
        return;
    }
    assert_eq!(text[begin..end], drawing, "ARCHITECTURE.md draws other states than the code has; BLESS=1 renews it");
}

/// Every change of `status.state` that they have shown.
fn scenarios_hold(directory: &str, at_least: usize) -> BTreeSet<(&'static str, &'static str)> {
    let mut seen = Vec::new();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut scenarios = 0;
    let mut failures = String::new();
    for file in files {
        for block in blocks(&std::fs::read_to_string(&file).unwrap()) {
            scenarios += 1;
            match play(&block) {
                Ok(changes) => seen.extend(changes),
                Err((line, message)) => {
                    let name = file.file_name().unwrap().to_string_lossy();
                    let _ = writeln!(failures, "{name}:{line}: {}: {message}", block.title);
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(scenarios >= at_least, "only {scenarios} scenarios were found in {}", directory.display());
    seen.into_iter().map(|(from, to)| (from.as_str(), to.as_str())).collect()
}

/// One scenario of a file: its title, and its lines with their numbers, comments removed.
struct Block {
    title: String,
    lines: Vec<(usize, String)>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(title) = line.strip_prefix("## ") {
            blocks.push(Block { title: title.into(), lines: Vec::new() });
            continue;
        }
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        blocks.last_mut().expect("a scenario starts with `## title`").lines.push((number, line.into()));
    }
    blocks
}

type Failed = (usize, String);

/// The changes of `status.state` it has shown.
fn play(block: &Block) -> Result<Vec<(State, State)>, Failed> {
    let mut world: Option<World> = None;
    for (number, line) in &block.lines {
        let fail = |message: String| (*number, format!("`{line}`: {message}"));
        if let Some(nodes) = line.strip_prefix("nodes ") {
            world = Some(World::new(nodes).map_err(fail)?);
            continue;
        }
        let world = world.as_mut().ok_or_else(|| fail("`nodes …` comes first".into()))?;
        match line.strip_prefix("expect ") {
            Some(expected) => world.expect(expected).map_err(fail)?,
            None => world.event(line).map_err(fail)?,
        }
    }
    Ok(world.map(|world| world.seen).unwrap_or_default())
}

struct World {
    controller: Controller,
    nodes: Vec<config::Node>,
    topology: Topology,
    start: Instant,
    now: Instant,
    /// Of the last `expect … epoch=`.
    epoch: u64,
    logs: Vec<(Level, String)>,
    settings: Settings,
    policy: Policy,
    /// Written down last.
    record: Record,
    /// Changes of `status.state`.
    seen: Vec<(State, State)>,
    orders: u64,
    answers: Vec<Result<String, String>>,
    /// What nodes were made to do, and cuts: `pg2 promote`, `pg3 repoint pg2:5432`, `cut pg1`.
    done: Vec<String>,
}

// === impl World ===

impl World {
    fn new(line: &str) -> Result<Self, String> {
        let mut settings =
            Settings { failures: 3, notice_interval: Duration::from_secs(10), failover: config::Failover::default() };
        let mut nodes = Vec::new();
        let mut policy = Policy::default();
        for word in line.split_whitespace() {
            if policy_word(&mut policy, &mut nodes, word)? {
                continue;
            }
            if let Some(failures) = word.strip_prefix("failures=") {
                settings.failures = number(failures)?;
                continue;
            }
            if settings_word(&mut settings.failover, word)? {
                continue;
            }
            let (name, address) = word.split_once('=').unwrap_or((word, word));
            let (host, port) = address.rsplit_once(':').unwrap_or((address, "5432"));
            nodes.push(config::Node {
                name: name.into(),
                host: host.into(),
                port: number(port)?,
                max_servers: 10,
                weight: 100,
                zone: String::new(),
            });
        }
        let start = Instant::now();
        Ok(Self {
            controller: Controller::new(&nodes, settings.clone()).with_policy(policy.clone()),
            settings,
            policy,
            record: Record::default(),
            seen: Vec::new(),
            orders: 0,
            answers: Vec::new(),
            topology: Topology::unknown(&nodes),
            nodes,
            start,
            now: start,
            epoch: 0,
            logs: Vec::new(),
            done: Vec::new(),
        })
    }

    /// `1000 pg1 standby …`, `1000 pg1 fails kind: text`, `1000 passes`
    fn event(&mut self, line: &str) -> Result<(), String> {
        let (at, rest) = line.split_once(char::is_whitespace).ok_or("time and event are wanted")?;
        self.pass_until(self.start + Duration::from_millis(number(at)?));
        let rest = rest.trim();
        if rest == "passes" {
            return Ok(());
        }
        if rest == "restarts" {
            self.restart();
            return Ok(());
        }
        let (name, what) = rest.split_once(' ').ok_or("node and event are wanted")?;
        if let Some(event) = self.other_event(name, what)? {
            self.handle(event);
            return Ok(());
        }
        let node = self.id(name)?;
        if let Some(facts) = what.strip_prefix("is cut off") {
            self.handle(Event::Performed { node, command: Command::Sever { timeline: 0 }, outcome: Outcome::Done });
            let observation = self.observation(&format!("standby{facts}"))?;
            self.handle(Event::Observed { node, observation });
            return Ok(());
        }
        if let Some(did) = what.strip_prefix("did ") {
            let (command, outcome) = parse_outcome(did)?;
            self.handle(Event::Performed { node, command, outcome });
            return Ok(());
        }
        let event = match what.strip_prefix("fails ") {
            Some(failure) => Event::ProbeFailed { node, failure: parse_failure(failure)? },
            None => Event::Observed { node, observation: self.observation(what)? },
        };
        self.handle(event);
        Ok(())
    }

    /// `order switchover pg2`, `drained pg1`, `ran fence: ok`
    fn other_event(&mut self, name: &str, what: &str) -> Result<Option<Event>, String> {
        Ok(Some(match name {
            "order" => {
                self.orders += 1;
                Event::Ordered { id: self.orders, order: self.order(what)? }
            }
            "drained" => {
                let node = self.id(what)?;
                if self.controller.drains() != Some(node) {
                    return Err("nobody waits for it".into());
                }
                Event::Drained(node)
            }
            "ran" => {
                let (hook, result) = what.split_once(": ").ok_or("hook: result is wanted")?;
                let hook = hook_named(hook)?;
                let result = if result == "ok" { Ok(()) } else { Err(result.to_owned()) };
                Event::Ran { hook, result }
            }
            _ => return Ok(None),
        }))
    }

    fn order(&self, text: &str) -> Result<Order, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["switchover"] => Order::Switchover { to: None },
            ["switchover", to] => Order::Switchover { to: Some(self.id(to)?) },
            ["failover", to] => Order::Failover { to: self.id(to)?, force: false },
            ["failover", to, "force"] => Order::Failover { to: self.id(to)?, force: true },
            ["detach", node] => Order::Detach(self.id(node)?),
            ["attach", node] => Order::Attach(self.id(node)?),
            ["pause"] => Order::Pause,
            ["resume"] => Order::Resume,
            _ => return Err(format!("unknown order `{text}`")),
        })
    }

    /// The proxy is killed and started again: only what was written down is known.
    fn restart(&mut self) {
        let unknown = Topology::unknown(&self.nodes);
        self.controller = Controller::resume(&self.nodes, self.settings.clone(), &unknown, &self.record)
            .with_policy(self.policy.clone());
        self.topology = unknown;
        self.done.clear();
        self.logs.clear();
    }

    /// Time goes by: every deadline on the way is kept, as the shell would.
    fn pass_until(&mut self, until: Instant) {
        while let Some((due, _)) = self.controller.deadline().filter(|(due, _)| *due <= until) {
            self.now = due;
            self.handle(Event::Tick);
        }
        self.now = until;
    }

    fn handle(&mut self, event: Event) {
        for action in self.controller.handle(event, self.now) {
            match action {
                Action::Publish(topology) => {
                    let pair = (self.topology.status.state, topology.status.state);
                    if pair.0 != pair.1 {
                        self.seen.push(pair);
                    }
                    self.topology = topology;
                }
                Action::Log { level, text } => self.logs.push((level, text)),
                Action::Ask(_) => {}
                Action::Run { hook, .. } => self.done.push(format!("run {}", hook.as_str())),
                Action::Remember(record) => self.record = record,
                Action::Answer { result, .. } => self.answers.push(result),
                Action::Cut(node) => self.done.push(format!("cut {}", self.names(&[node]))),
                Action::Perform { node, command } => {
                    self.done.push(format!("{} {}", self.names(&[node]), word(&command)));
                }
            }
        }
    }

    fn observation(&self, text: &str) -> Result<Observation, String> {
        let (role, facts) = text.split_once(' ').unwrap_or((text, ""));
        let mut observation = Observation {
            at: self.now,
            round_trip_us: 100,
            in_recovery: match role {
                "primary" => false,
                "standby" => true,
                _ => return Err(format!("`{role}`: primary, standby or fails is wanted")),
            },
            system_identifier: 7,
            timeline: 1,
            received: Some(Lsn(0x300_0000)),
            replayed: None,
            inserted: None,
            is_replay_paused: false,
            replay_delay_ms: None,
            has_receiver: false,
            upstream: None,
            heard_ms: None,
            severed_from: None,
            sync_name: None,
            sync_names: None,
            version_num: 150_018,
            version: "15.18".into(),
        };
        for fact in facts.split_whitespace() {
            let (key, value) = fact.split_once('=').ok_or_else(|| format!("`{fact}`: key=value is wanted"))?;
            match key {
                "sys" => observation.system_identifier = number(value)?,
                "tli" => observation.timeline = number(value)?,
                "inserted" => observation.inserted = Some(value.parse().map_err(|()| format!("`{value}` is no LSN"))?),
                "lsn" if value == "unknown" => observation.received = None,
                "lsn" => observation.received = Some(value.parse().map_err(|()| format!("`{value}` is no LSN"))?),
                "replayed" => observation.replayed = Some(value.parse().map_err(|()| format!("`{value}` is no LSN"))?),
                "delay" => observation.replay_delay_ms = Some(number(value)?),
                "heard" => observation.heard_ms = Some(number(value)?),
                "paused" => observation.is_replay_paused = value == "yes",
                "sync" => observation.sync_name = Some(value.into()),
                "names" => observation.sync_names = Some(value.replace('_', " ")),
                "severed" => observation.severed_from = Some(self.address(value)?),
                "from" if value == "hidden" => observation.has_receiver = true,
                "from" => {
                    observation.upstream = Some(self.address(value)?);
                    observation.has_receiver = true;
                }
                _ => return Err(format!("unknown fact `{key}`")),
            }
        }
        observation.replayed = observation.replayed.or(observation.received);
        Ok(observation)
    }

    /// `pg1` or `host:port`.
    fn address(&self, text: &str) -> Result<(String, u16), String> {
        if let Some((host, port)) = text.rsplit_once(':') {
            return Ok((host.into(), number(port)?));
        }
        let node = &self.nodes[usize::from(self.id(text)?.0)];
        Ok((node.host.clone(), node.port))
    }

    fn id(&self, name: &str) -> Result<NodeId, String> {
        let index = self.nodes.iter().position(|node| node.name == name);
        index.map(|index| NodeId(index as u16)).ok_or_else(|| format!("there is no node `{name}`"))
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        if text == "no log" {
            let told: Vec<_> = self.logs.drain(..).filter(|(level, _)| *level != Level::Debug).collect();
            return if told.is_empty() { Ok(()) } else { Err(format!("but it was said: {told:?}")) };
        }
        if let Some(expected) = text.strip_prefix("does ") {
            let done = std::mem::take(&mut self.done).join(", ");
            return equal(if done.is_empty() { "nothing" } else { &done }, expected);
        }
        if let Some(expected) = text.strip_prefix("answer ") {
            let (word, text) = expected.split_once('~').ok_or("ok~text or no~text is wanted")?;
            let last = self.answers.pop().ok_or("nothing was answered")?;
            let (is_ok, said) = match &last {
                Ok(said) => (true, said),
                Err(said) => (false, said),
            };
            if is_ok != (word == "ok") {
                return Err(format!("the answer is {last:?}"));
            }
            return contains(Some(said), text);
        }
        if let Some(expected) = text.strip_prefix("log ") {
            return self.expect_log(expected);
        }
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        if !first.contains(['=', '~']) {
            return check_node(&self.topology, self.topology.node(self.id(first)?), rest);
        }
        let epoch = self.epoch;
        for_each_fact(text, |key, value| {
            let topology = &self.topology;
            match key {
                "primary" => equal(&self.names(topology.primary.as_slice()), value),
                "standbys" => equal(&self.names(&topology.standbys), value),
                "system" => equal(&topology.system_identifier.map_or("none".into(), |id| id.to_string()), value),
                "state" => equal(&topology.status.state.as_str().replace(' ', "-"), value),
                "waits" => contains(topology.status.waits_for.as_deref(), value),
                "advice" => contains(topology.status.advice.as_deref(), value),
                "xmax" => equal(&format!("{:?}", topology.status.opened.as_ref().and_then(|o| o.xmax)), value),
                "because" => contains(topology.no_primary_because.as_deref(), value),
                "epoch" => {
                    let rise = topology.epoch - epoch;
                    let actual = match value.chars().next() {
                        Some('s') if rise == 0 => "same".to_owned(),
                        Some('+' | 's') => format!("+{rise}"),
                        _ => topology.epoch.to_string(),
                    };
                    equal(&actual, value)
                }
                _ => Err(format!("unknown expectation `{key}`")),
            }
        })?;
        if text.contains("epoch=") {
            self.epoch = self.topology.epoch;
        }
        Ok(())
    }

    /// `warn~text`; forgets what was said until now.
    fn expect_log(&mut self, expected: &str) -> Result<(), String> {
        let (level, text) = expected.split_once('~').ok_or("level~text is wanted")?;
        let said = |(at, line): &(Level, String)| {
            format!("{at:?}").eq_ignore_ascii_case(level) && line.to_lowercase().contains(&text.to_lowercase())
        };
        if !self.logs.iter().any(said) {
            return Err(format!("but it was said: {:?}", self.logs));
        }
        self.logs.clear();
        Ok(())
    }

    fn names(&self, ids: &[NodeId]) -> String {
        if ids.is_empty() {
            return "none".into();
        }
        ids.iter().map(|id| self.nodes[usize::from(id.0)].name.as_str()).collect::<Vec<_>>().join(",")
    }
}

fn word(command: &Command) -> String {
    match command {
        Command::Promote { .. } => "promote".to_owned(),
        Command::Repoint { host, port } => format!("repoint {host}:{port}"),
        Command::Sever { .. } => "sever".to_owned(),
        Command::Restore => "restore".to_owned(),
        Command::Reconnect => "reconnect".to_owned(),
        Command::Clear => "clear".to_owned(),
        Command::Open { .. } => "open".to_owned(),
    }
}

fn hook_named(name: &str) -> Result<Hook, String> {
    let all = [Hook::OnFailover, Hook::Fence, Hook::Promote, Hook::OnPromote];
    all.into_iter().find(|hook| hook.as_str() == name).ok_or_else(|| format!("unknown hook `{name}`"))
}

/// `mode=automatic`, `grace=500`, `witnesses=1`, `pause=0`: ms.
fn settings_word(failover: &mut config::Failover, word: &str) -> Result<bool, String> {
    let Some((key, value)) = word.split_once('=') else { return Ok(false) };
    match key {
        "mode" => {
            failover.mode = match value {
                "off" => config::FailoverMode::Off,
                "manual" => config::FailoverMode::Manual,
                "automatic" => config::FailoverMode::Automatic,
                _ => return Err(format!("unknown mode `{value}`")),
            }
        }
        "grace" => failover.grace = Duration::from_millis(number(value)?),
        "pause" => failover.pause = Duration::from_millis(number(value)?),
        "witnesses" => failover.witnesses = number(value)?,
        "drain" => failover.drain = Duration::from_millis(number(value)?),
        "durability" => {
            failover.durability = match value {
                "async" => config::Durability::Async,
                "quorum" => config::Durability::Quorum,
                _ => return Err(format!("unknown durability `{value}`")),
            }
        }
        "hook" => match hook_named(value)? {
            Hook::OnFailover => failover.hooks.on_failover = vec!["true".into()],
            Hook::Fence => failover.hooks.fence = vec!["true".into()],
            Hook::Promote => failover.hooks.promote = vec!["true".into()],
            Hook::OnPromote => failover.hooks.on_promote = vec!["true".into()],
        },
        _ => return Ok(false),
    }
    Ok(true)
}

/// A word of `nodes …` about who gets reads.
fn policy_word(policy: &mut Policy, nodes: &mut [config::Node], word: &str) -> Result<bool, String> {
    let Some((key, value)) = word.split_once('=') else { return Ok(false) };
    let (name, of_node) = value.split_once(':').unwrap_or_default();
    let node = nodes.iter_mut().find(|node| node.name == name).ok_or("the node comes first");
    match key {
        "max_lag" => policy.max_lag = Duration::from_millis(number(value)?),
        "max_lag_bytes" => policy.max_lag_bytes = number(value)?,
        "slow_start" => policy.slow_start = Duration::from_millis(number(value)?),
        "zone" => policy.zone = value.into(),
        "primary_weight" => policy.primary_weight = number(value)?,
        "weight" => node?.weight = number(of_node)?,
        "in" => node?.zone = of_node.into(),
        _ => return Ok(false),
    }
    policy.shares = nodes.iter().map(|node| Share { weight: node.weight, zone: node.zone.clone() }).collect();
    Ok(true)
}

/// `promote: done`, `promote: not why`, `repoint: unknown why`
fn parse_outcome(text: &str) -> Result<(Command, Outcome), String> {
    let (command, outcome) = text.split_once(": ").ok_or("command: outcome is wanted")?;
    let command = match command {
        "promote" => Command::Promote { timeline: 0 },
        "repoint" => Command::Repoint { host: String::new(), port: 0 },
        "sever" => Command::Sever { timeline: 0 },
        "restore" => Command::Restore,
        "reconnect" => Command::Reconnect,
        "clear" => Command::Clear,
        "open" => Command::Open { epoch: 0, primary: String::new() },
        _ => return Err(format!("unknown command `{command}`")),
    };
    let (word, why) = outcome.split_once(' ').unwrap_or((outcome, ""));
    let outcome = match word {
        "opened" => Outcome::Opened { xmax: why.parse().ok() },
        "done" => Outcome::Done,
        "not" => Outcome::NotDone(why.into()),
        "refused" => Outcome::Refused(why.into()),
        "unknown" => Outcome::Unknown(why.into()),
        _ => return Err(format!("unknown outcome `{outcome}`")),
    };
    Ok((command, outcome))
}

fn check_node(topology: &Topology, node: &Node, facts: &str) -> Result<(), String> {
    let or_none = |value: Option<u64>| value.map_or("none".into(), |value| value.to_string());
    for_each_fact(facts, |key, value| match key {
        "role" => equal(node.role.as_str(), value),
        "health" => equal(node.health.as_str(), value),
        "lag" => equal(&or_none(node.lag_bytes), value),
        "delay" => equal(&or_none(node.lag_ms), value),
        "weight" => equal(&node.weight.to_string(), value),
        "near" => equal(if node.is_near { "yes" } else { "no" }, value),
        "upstream" => equal(node.upstream.map_or("none", |id| &topology.node(id).name), value),
        "reason" => contains(node.health.reason(), value),
        "warning" if value == "none" => equal(node.warning.as_deref().unwrap_or("none"), value),
        "warning" => contains(node.warning.as_deref(), value),
        _ => Err(format!("unknown expectation `{key}`")),
    })
}

/// `key=value` words, then perhaps `key~rest of the line`.
fn for_each_fact(text: &str, mut check: impl FnMut(&str, &str) -> Result<(), String>) -> Result<(), String> {
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find(['=', '~']).ok_or_else(|| format!("`{rest}`: key=value or key~text is wanted"))?;
        let (key, value) = (&rest[..end], &rest[end + 1..]);
        let (value, next) = match rest.as_bytes()[end] {
            b'~' => (value, ""),
            _ => value.split_once(' ').unwrap_or((value, "")),
        };
        check(key, value).map_err(|message| format!("{key}: {message}"))?;
        rest = next.trim();
    }
    Ok(())
}

fn parse_failure(text: &str) -> Result<Failure, String> {
    let (kind, words) = text.split_once(':').unwrap_or((text, text));
    let kind = match kind {
        "refused" => FailureKind::Unreachable,
        "timeout" => FailureKind::TimedOut,
        "notserving" => FailureKind::NotServing,
        "stopping" => FailureKind::Stopping,
        "slow" => FailureKind::Slow,
        "full" => FailureKind::Full,
        "denied" => FailureKind::Denied,
        "broken" => FailureKind::Broken,
        _ => return Err(format!("unknown failure `{kind}`")),
    };
    Ok(Failure::new(kind, words.trim()))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number of the right size"))
}

fn equal(actual: &str, expected: &str) -> Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("it is {actual}")) }
}

fn contains(actual: Option<&str>, expected: &str) -> Result<(), String> {
    match actual {
        Some(actual) if actual.to_lowercase().contains(&expected.to_lowercase()) => Ok(()),
        _ => Err(format!("it is {actual:?}")),
    }
}

#[test]
fn a_controller_resumes_where_another_stopped() {
    let mut world = World::new("pg1 pg2 pg3 failures=2").unwrap();
    for line in
        ["0 pg1 primary", "0 pg2 standby", "0 pg3 standby", "1 pg3 fails refused: gone", "2 pg3 fails refused: gone"]
    {
        world.event(line).unwrap();
    }
    let before = world.topology.clone();
    let settings =
        Settings { failures: 5, notice_interval: Duration::from_secs(10), failover: config::Failover::default() };
    world.controller = Controller::resume(&world.nodes, settings.clone(), &before, &Record::default());
    world.logs.clear();
    world.event("1000 pg2 standby").unwrap();
    world.epoch = before.epoch;
    world.expect("primary=pg1 standbys=pg2 epoch=same").unwrap();
    world.expect("pg3 health=down reason~gone").unwrap();
    world.expect("no log").unwrap();

    world.nodes[0].host = "another".into();
    world.controller = Controller::resume(&world.nodes, settings, &before, &Record::default());
    world.event("2000 pg2 standby").unwrap();
    world.expect("primary=none because~waiting for the first answer of pg1, pg3").unwrap();
    assert!(world.topology.epoch > before.epoch, "never back: others compare it");
}

/// What must hold after any events in any order.
mod always {
    use proptest::prelude::*;

    use super::*;
    use pgherd::cluster::Role;

    /// (node, what): an answer with (standby, system, timeline), or a failure.
    fn event() -> impl Strategy<Value = String> {
        let answer = (prop_oneof![Just("primary"), Just("standby")], 7..9u64, 1..4u32)
            .prop_map(|(role, system, timeline)| format!("{role} sys={system} tli={timeline}"));
        let kinds = ["refused", "timeout", "notserving", "full", "denied", "broken"];
        let failure = proptest::sample::select(kinds.to_vec()).prop_map(|kind| format!("fails {kind}"));
        let what = prop_oneof![3 => answer, 2 => failure];
        (1..4u8, what).prop_map(|(node, what)| format!("pg{node} {what}"))
    }

    proptest! {
        #[test]
        fn one_primary_of_the_cluster_on_its_newest_timeline(events in prop::collection::vec(event(), 0..60)) {
            let mut world = World::new("pg1 pg2 pg3 failures=2").unwrap();
            for (at, event) in (0..).map(|n| n * 700).zip(&events) {
                let before = world.topology.clone();
                world.event(&format!("{at} {event}")).unwrap();
                check(&before, &world.topology, event)?;
                prop_assert_eq!(world.controller.deadline().is_some_and(|(due, _)| due <= world.now), false);
            }
        }
    }

    fn check(before: &Topology, now: &Topology, event: &str) -> Result<(), TestCaseError> {
        let of_cluster = |node: &&Node| {
            node.observation.as_ref().is_some_and(|told| Some(told.system_identifier) == now.system_identifier)
        };
        let timeline = |node: &Node| node.observation.as_ref().map_or(0, |told| told.timeline);
        prop_assert_eq!(now.primary.is_some(), now.no_primary_because.is_none());
        if let Some(primary) = now.primary.map(|id| now.node(id)) {
            let newest = now.nodes.iter().filter(of_cluster).map(timeline).max();
            prop_assert_eq!((primary.role, primary.health.as_str()), (Role::Primary, "up"));
            prop_assert!(of_cluster(&primary));
            prop_assert_eq!(Some(timeline(primary)), newest);
        }
        for standby in now.standbys.iter().map(|id| now.node(*id)) {
            prop_assert_eq!((standby.role, standby.health.as_str()), (Role::Standby, "up"));
            prop_assert!(of_cluster(&standby));
        }
        let overload_or_login = event.ends_with("full") || event.ends_with("denied");
        if overload_or_login && before.nodes.iter().all(|node| node.observation.is_some()) {
            prop_assert_eq!(before.epoch, now.epoch, "overload is not failure");
        }
        prop_assert!(now.epoch == before.epoch || now.epoch == before.epoch + 1);
        Ok(())
    }
}
