//! Where statements go: `tests/data/route/*.txt`.
//!
//! ```text
//! ## title                                        # everything starts anew: split on, an idle session
//! topology primary=pg1 standbys=pg2,pg3 load=pg2:3 because=words to the end of the line
//! # `caught-up=pg2:SECOND replayed=pg2:TIMELINE:LSN weight=pg2:50 far=pg3`
//! session status=T node=pg1 pinned reads-on-primary    # I, T or E; `wrote=SECOND min-lsn=TIMELINE:LSN avoid=pg2`
//! # `consistency=primary prefers=standby`
//! split off
//! select 1 => standby pg2                         # primary NODE | standby NODE | stay | hold REASON
//! select 1 => standby pg2 or standby pg3          # each of them, and no other, in a hundred tries
//! select 1 => primary pg1 [no-standby]            # with the reason
//! select 1 ++ delete from t => primary pg1        # one batch of two statements
//! ? => primary pg1                                # a request without a class
//! candidates select 1 => pg1 spared, pg2 fits     # of those the topology names
//! ```
//!
//! How many each gets is looked at below, and that `candidates` says the same as `route`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use pgherd::cluster::{Health, Node, NodeId, Observation, Role, Status, Topology};
use pgherd::config::Consistency;
use pgherd::route::{Avoid, Preference, Routed, Target, Token, Turn, TxStatus, Verdict, candidates, route};
use pgherd::sql::catalog::BuiltIn;
use pgherd::sql::{Class, classify};
use proptest::prelude::*;

struct World {
    start: Instant,
    topology: Topology,
    load: BTreeMap<NodeId, usize>,
    turn: Turn,
    split: bool,
    /// Nodes the topology names.
    named: BTreeSet<NodeId>,
}

/// Draws of one line: enough that none of a few nodes is missed.
const TRIES: usize = 100;

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
                let got = match text.strip_prefix("candidates ") {
                    Some(text) => world.candidates(text),
                    None => world.route(text, expected.ends_with(']')),
                };
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

#[test]
fn who_is_never_busy_gets_as_many_as_its_weight_says() {
    let topology = topology("primary=pg1 standbys=pg2,pg3,pg4 weight=pg1:50,pg2:100,pg3:300,pg4:50", None);
    let mut counts: BTreeMap<u16, f64> = BTreeMap::new();
    for tick in 0..50_000 {
        *counts.entry(reader(&topology, |_| 0, tick).0).or_insert(0.0) += 1.0 / 50_000.0;
    }
    let expected: [(u16, f64); 4] = [(1, 0.1), (2, 0.2), (3, 0.6), (4, 0.1)];
    for (id, share) in expected {
        assert!((counts[&id] - share).abs() < 0.01, "{counts:?}");
    }
}

#[test]
fn work_in_flight_is_shared_by_weight() {
    for (weights, expected) in
        [("pg2:100,pg3:100,pg4:100", [0.33, 0.33, 0.33]), ("pg2:200,pg3:100,pg4:100", [0.5, 0.25, 0.25])]
    {
        let topology = topology(&format!("primary=pg1 standbys=pg2,pg3,pg4 weight={weights}"), None);
        let (served, most) = served(&topology, 64, |_| 10);
        for (share, expected) in served.iter().zip(expected) {
            assert!((share - expected).abs() < 0.02, "{weights}: {served:?}");
        }
        assert!(
            most.iter().zip(expected).all(|(most, share)| *most as f64 <= share * 64.0 + 6.0),
            "{weights}: {most:?}"
        );
    }
}

#[test]
fn a_slow_standby_gets_less_and_is_not_given_up() {
    let topology = topology("primary=pg1 standbys=pg2,pg3,pg4 weight=pg2:100,pg3:100,pg4:100", None);
    let (served, _) = served(&topology, 48, |node| if node == NodeId(4) { 100 } else { 10 });
    assert!(served[2] < 0.1 && served[2] > 0.02, "{served:?}");
    assert!((served[0] - served[1]).abs() < 0.03, "{served:?}");
}

/// Clients that ask again as soon as they are answered: the part each of pg2, pg3, pg4 answers, and how many it had at most.
fn served(topology: &Topology, clients: usize, takes: impl Fn(NodeId) -> u64) -> ([f64; 3], [usize; 3]) {
    let (mut busy, mut counts, mut most, mut tick) = ([0_usize; 6], [0_usize; 6], [0; 6], 0);
    let mut due: BTreeSet<(u64, usize, u16)> = (0..clients).map(|client| (0, client, 0)).collect();
    for _ in 0..30_000 {
        let (now, client, done) = due.pop_first().unwrap();
        busy[usize::from(done)] = busy[usize::from(done)].saturating_sub(1);
        tick += 1;
        let node = reader(topology, |id| busy[usize::from(id.0)], tick);
        busy[usize::from(node.0)] += 1;
        counts[usize::from(node.0)] += 1;
        most[usize::from(node.0)] = most[usize::from(node.0)].max(busy[usize::from(node.0)]);
        due.insert((now + takes(node) + tick as u64 % 3, client, node.0));
    }
    ([2, 3, 4].map(|id| counts[id] as f64 / 30_000.0), [2, 3, 4].map(|id| most[id]))
}

fn reader(topology: &Topology, load: impl Fn(NodeId) -> usize, tick: usize) -> NodeId {
    match route(classify_all("select 1").as_ref(), &Turn::default(), topology, true, load, tick).target {
        Target::Primary(node) | Target::Standby(node) => node,
        other => panic!("{other:?}"),
    }
}

/// Its number, weight, whether it is near, when it caught up, what it has replayed.
type Drawn = (u16, u32, bool, u64, u64);

proptest! {
    #[test]
    fn whoever_is_chosen_is_a_candidate_that_fits(
        primary in 0_u8..4,
        standbys in proptest::collection::vec((any::<bool>(), 1_u32..3, any::<bool>(), 0_u64..4, 0_u64..4), 3),
        share in 0_u32..2,
        statement in 0_usize..5,
        (wrote, min_lsn, avoid, prefers, tick) in (0_u64..4, 0_u64..4, 0_u16..6, 0_u8..3, 0_usize..1000),
        load in proptest::collection::vec(0_usize..5, 6),
        split in any::<bool>(),
    ) {
        let (mut words, mut list) = (String::new(), Vec::new());
        for (id, (is_there, weight, is_near, caught_up, replayed)) in (2..).zip(&standbys) {
            words += &format!(" weight{id}={weight}");
            if *is_there {
                list.push((id, *weight, *is_near, *caught_up, *replayed));
            }
        }
        let each = |what: &str, say: &dyn Fn(&Drawn) -> String| {
            format!("{what}={}", list.iter().map(say).collect::<Vec<_>>().join(","))
        };
        let words = [
            if primary == 0 { "primary=none".to_owned() } else { "primary=pg1".to_owned() },
            each("standbys", &|s| format!("pg{}", s.0)),
            each("weight", &|s| format!("pg{}:{}", s.0, s.1)) + &format!(",pg1:{share}"),
            each("far", &|s| if s.2 { String::new() } else { format!("pg{}", s.0) }),
            each("replayed", &|s| format!("pg{}:1:0/{}", s.0, s.4)),
            words,
        ]
        .join(" ");
        let mut topology = topology(&words, Some("why"));
        let start = Instant::now();
        for standby in &list {
            topology.nodes[usize::from(standby.0)].caught_up_at = Some(start + Duration::from_secs(standby.3));
        }
        let turn = Turn {
            last_write: (wrote > 0).then(|| start + Duration::from_secs(wrote)),
            min_lsn: (min_lsn > 0).then(|| format!("1:0/{min_lsn}").parse().unwrap()),
            avoid: Avoid::NOBODY.and(NodeId(avoid)),
            preference: [Preference::Auto, Preference::Primary, Preference::Standby][usize::from(prefers)],
            ..Turn::default()
        };
        let text = ["select 1", "insert into t values (1)", "rollback", "begin read only", "select f()"][statement];
        let class = classify_all(text);
        let candidates = candidates(class.as_ref(), &turn, &topology, split);
        let fit: Vec<NodeId> =
            candidates.iter().filter(|one| one.verdict == Verdict::Fits).map(|one| one.node).collect();
        match route(class.as_ref(), &turn, &topology, split, |id| load[usize::from(id.0)], tick).target {
            Target::Primary(node) | Target::Standby(node) => prop_assert!(fit.contains(&node), "{node:?}: {candidates:?}"),
            Target::Hold { .. } => prop_assert!(fit.is_empty(), "{candidates:?}"),
            Target::Stay => unreachable!("it holds no server"),
        }
        // And whoever fits is chosen at some time.
        let mut chosen = BTreeSet::new();
        for tick in 0..TRIES {
            match route(class.as_ref(), &turn, &topology, split, |_| 0, tick).target {
                Target::Primary(node) | Target::Standby(node) => drop(chosen.insert(node)),
                Target::Hold { .. } | Target::Stay => {}
            }
        }
        prop_assert_eq!(chosen.into_iter().collect::<Vec<_>>(), fit);
    }
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
            named: BTreeSet::new(),
        }
    }

    fn route(&self, text: &str, with_why: bool) -> String {
        let class = classify_all(text);
        let load = |node| self.load.get(&node).copied().unwrap_or(0);
        let targets: BTreeSet<String> = (0..TRIES)
            .map(|tick| {
                let Routed { target, why } = route(class.as_ref(), &self.turn, &self.topology, self.split, load, tick);
                let target = match target {
                    Target::Primary(node) => format!("primary pg{}", node.0),
                    Target::Standby(node) => format!("standby pg{}", node.0),
                    Target::Stay => "stay".to_owned(),
                    Target::Hold { reason } => format!("hold {reason}"),
                };
                if with_why { format!("{target} [{}]", why.as_str()) } else { target }
            })
            .collect();
        targets.into_iter().collect::<Vec<_>>().join(" or ")
    }

    fn candidates(&self, text: &str) -> String {
        let candidates = candidates(classify_all(text).as_ref(), &self.turn, &self.topology, self.split);
        let named = candidates.iter().filter(|candidate| self.named.contains(&candidate.node));
        let words = named.map(|candidate| format!("pg{} {}", candidate.node.0, candidate.verdict.as_str()));
        words.collect::<Vec<_>>().join(", ")
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
                let names = words.split(['=', ',', ' ', ':']).filter(|word| word.starts_with("pg"));
                self.named = names.map(node).collect();
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
                    min_lsn: value(words, "min-lsn").map(|token| token.parse().unwrap()),
                    consistency: match value(words, "consistency") {
                        Some("primary") => Consistency::Primary,
                        _ => Consistency::Session,
                    },
                    preference: match value(words, "prefers") {
                        Some("primary") => Preference::Primary,
                        Some("standby") => Preference::Standby,
                        _ => Preference::Auto,
                    },
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

/// `?`: not classified.
fn classify_all(text: &str) -> Option<Class> {
    let classify = |text: &str| classify(text.as_bytes(), 1000, &BuiltIn);
    (text != "?").then(|| text.split(" ++ ").map(classify).reduce(Class::then).unwrap())
}

fn topology(words: &str, because: Option<&str>) -> Topology {
    let replayed: BTreeMap<NodeId, Token> =
        pairs(words, "replayed").map(|(name, token)| (node(name), token.parse().unwrap())).collect();
    let weights: BTreeMap<NodeId, u32> =
        pairs(words, "weight").map(|(name, weight)| (node(name), weight.parse().unwrap())).collect();
    let far: BTreeSet<NodeId> = list(words, "far").map(node).collect();
    let standbys = value(words, "standbys").unwrap_or_default();
    let nodes = (0..6).map(|id| Node {
        id: NodeId(id),
        name: format!("pg{id}"),
        host: "127.0.0.1".to_owned(),
        port: 5432,
        role: Role::Unknown,
        health: Health::Up,
        observation: replayed.get(&NodeId(id)).map(|token| replayed_to(*token)),
        upstream: None,
        lag_bytes: None,
        lag_ms: None,
        caught_up_at: None,
        warning: None,
        no_reads: None,
        weight: weights.get(&NodeId(id)).copied().unwrap_or(0),
        zone: String::new(),
        is_near: !far.contains(&NodeId(id)),
    });
    Topology {
        epoch: 1,
        system_identifier: Some(7),
        nodes: nodes.collect(),
        primary: value(words, "primary").filter(|name| *name != "none").map(node),
        standbys: standbys.split(',').filter(|name| !name.is_empty()).map(node).collect(),
        no_primary_because: because.map(str::to_owned),
        status: Status::default(),
    }
}

fn replayed_to(token: Token) -> Observation {
    Observation {
        at: Instant::now(),
        round_trip_us: 100,
        in_recovery: true,
        system_identifier: 7,
        timeline: token.timeline.unwrap(),
        received: Some(token.lsn),
        replayed: Some(token.lsn),
        inserted: None,
        is_replay_paused: false,
        replay_delay_ms: None,
        has_receiver: true,
        upstream: None,
        heard_ms: None,
        severed_from: None,
        sync_name: None,
        sync_names: None,
        version_num: 150_018,
        version: "15.18".to_owned(),
    }
}

fn value<'a>(words: &'a str, key: &str) -> Option<&'a str> {
    words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn node(name: &str) -> NodeId {
    NodeId(name.strip_prefix("pg").unwrap().parse().unwrap())
}
