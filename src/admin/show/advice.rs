//! What to do about a node that gets no client: the command to type.

use crate::cluster::{Health, Node, Role, Topology};

/// `None`: nothing is to be done, or the reason says it all.
pub fn of(topology: &Topology, node: &Node) -> Option<String> {
    let name = &node.name;
    let seen = node.observation.as_ref();
    if let (Health::Refused(_), Some(seen)) = (&node.health, seen) {
        if topology.system_identifier.is_some_and(|system| system != seen.system_identifier) {
            return Some(format!("correct [[node]] {name:?} in the configuration, or rebuild it with pg_basebackup"));
        }
        return match topology.primary.filter(|primary| *primary != node.id) {
            Some(primary) => Some(rejoin(node, topology.node(primary))),
            None if !seen.in_recovery => Some("stop the wrong primary; then the other one is served".to_owned()),
            None => None,
        };
    }
    if topology.status.detached.contains(&node.id) {
        return Some(format!("ATTACH {name} takes it back"));
    }
    let primary = topology.node(topology.primary.filter(|_| node.role == Role::Standby && node.health == Health::Up)?);
    let newest = primary.observation.as_ref()?.timeline;
    let is_left_behind = seen.is_some_and(|seen| seen.timeline < newest && !seen.has_receiver);
    is_left_behind.then(|| {
        format!("its log says why it does not follow {}; if it \"forked off\": {}", primary.name, rejoin(node, primary))
    })
}

/// How `node`, which has WAL the cluster lacks, becomes a standby again. The checkpoint first: until the new primary's is
/// done pg_rewind finds both on one timeline and "no rewind required". (PostgreSQL docs, "pg_rewind".)
fn rejoin(node: &Node, primary: &Node) -> String {
    let Node { host, port, .. } = primary;
    let name = &node.name;
    format!(
        "stop {name}; psql -h {host} -p {port} -U postgres -c CHECKPOINT; pg_rewind -R -D \"$PGDATA\" --source-server='\
         host={host} port={port} user=postgres dbname=postgres application_name={name}'; start {name} \
         (or rebuild it: pg_basebackup)"
    )
}

/// The word for `state`: one the operator took out is no longer just up.
pub fn state(topology: &Topology, node: &Node) -> &'static str {
    match node.health {
        Health::Up if topology.status.detached.contains(&node.id) => "detached",
        _ => node.health.as_str(),
    }
}
