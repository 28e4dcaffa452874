//! Where statements go: `tests/data/route/*.txt`.
//!
//! ```text
//! ## title                                        # everything starts anew: split on, an idle session, tick 0
//! topology primary=pg1 standbys=pg2,pg3 load=pg2:3 because=words to the end of the line
//! session status=T node=pg1 pinned reads-on-primary    # I, T or E
//! split off
//! select 1 => standby pg2                         # primary NODE | standby NODE | stay | hold REASON
//! select 1 ++ delete from t => primary pg1        # one batch of two statements
//! ? => primary pg1                                # a request without a class
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use pgherd::cluster::{Health, Node, NodeId, Role, Status, Topology};
use pgherd::route::{Avoid, Target, Turn, TxStatus, route};
use pgherd::sql::catalog::BuiltIn;
use pgherd::sql::{Class, classify};

struct World {
    start: Instant,
    topology: Topology,
    load: BTreeMap<NodeId, usize>,
    turn: Turn,
    split: bool,
    tick: usize,
}

#[test]
fn statements_go_where_the_data_files_say() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/route");
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut checked, mut failures) = (0, String::new());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let mut world = World::new();
        for (number, line) in (1..).zip(std::fs::read_to_string(&file).unwrap().lines()) {
            if line.starts_with("## ") {
                world = World::new();
            } else if let Some((text, expected)) = line.split_once(" => ") {
                checked += 1;
                let got = world.route(text);
                if got != expected {
                    let _ = writeln!(failures, "{name}:{number}: {text}: {got}, not {expected}");
                }
            } else if !line.trim().is_empty() {
                world.change(line);
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(checked >= 40, "only {checked} statements");
}

// === impl World ===

impl World {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            topology: topology("", None),
            load: BTreeMap::new(),
            turn: Turn::default(),
            split: true,
            tick: 0,
        }
    }

    fn route(&mut self, text: &str) -> String {
        let class = (text != "?").then(|| {
            text.split(" ++ ").map(|text| classify(text.as_bytes(), 1000, &BuiltIn)).reduce(Class::then).unwrap()
        });
        let load = |node| self.load.get(&node).copied().unwrap_or(0);
        let target = route(class.as_ref(), &self.turn, &self.topology, self.split, load, self.tick).target;
        self.tick += 1;
        match target {
            Target::Primary(node) => format!("primary pg{}", node.0),
            Target::Standby(node) => format!("standby pg{}", node.0),
            Target::Stay => "stay".to_owned(),
            Target::Hold { reason } => format!("hold {reason}"),
        }
    }

    fn at(&self, second: &str) -> Instant {
        self.start + Duration::from_secs(second.parse().unwrap())
    }

    fn change(&mut self, line: &str) {
        let (line, because) = line.split_once(" because=").map_or((line, None), |(line, words)| (line, Some(words)));
        let (what, words) = line.split_once(' ').unwrap();
        match what {
            "topology" => {
                self.topology = topology(words, because);
                for (name, second) in pairs(words, "caught-up") {
                    self.topology.nodes[usize::from(node(name).0)].caught_up_at = Some(self.at(second));
                }
                self.load = pairs(words, "load").map(|(name, load)| (node(name), load.parse().unwrap())).collect();
                self.tick = 0;
            }
            "session" => {
                let status = value(words, "status").unwrap().as_bytes()[0];
                self.turn = Turn {
                    status: TxStatus::from_byte(status).unwrap(),
                    node: value(words, "node").map(node),
                    pinned: words.contains("pinned"),
                    reads_on_primary: words.contains("reads-on-primary"),
                    last_write: value(words, "wrote").map(|second| self.at(second)),
                    avoid: list(words, "avoid").fold(Avoid::NOBODY, |avoid, name| avoid.and(node(name))),
                    ..Turn::default()
                };
            }
            "split" => self.split = words == "on",
            other => panic!("{other}?"),
        }
    }
}

/// `key=name,name`
fn list<'a>(words: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    value(words, key).unwrap_or_default().split(',').filter(|name| !name.is_empty())
}

/// `key=name:value,name:value`
fn pairs<'a>(words: &'a str, key: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    value(words, key).unwrap_or_default().split(',').filter_map(|pair| pair.split_once(':'))
}

fn topology(words: &str, because: Option<&str>) -> Topology {
    let standbys = value(words, "standbys").unwrap_or_default();
    let nodes = (0..6).map(|id| Node {
        id: NodeId(id),
        name: format!("pg{id}"),
        host: "127.0.0.1".to_owned(),
        port: 5432,
        role: Role::Unknown,
        health: Health::Up,
        observation: None,
        upstream: None,
        lag_bytes: None,
        lag_ms: None,
        caught_up_at: None,
        warning: None,
        no_reads: None,
        weight: 100,
        zone: String::new(),
        is_near: true,
    });
    Topology {
        epoch: 1,
        system_identifier: Some(7),
        nodes: nodes.collect(),
        primary: value(words, "primary").filter(|name| *name != "none").map(node),
        standbys: standbys.split(',').filter(|name| !name.is_empty()).map(node).collect(),
        no_primary_because: because.map(str::to_owned),
        status: Status::default(),
        mark: None,
    }
}

fn value<'a>(words: &'a str, key: &str) -> Option<&'a str> {
    words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn node(name: &str) -> NodeId {
    NodeId(name.strip_prefix("pg").unwrap().parse().unwrap())
}
