//! Who streams from whom: a WAL receiver names its upstream as its own `primary_conninfo` does, which is not
//! necessarily how the configuration names that node.

use super::node::NodeId;
use super::topology::Node;

/// The configured node that `standby`'s WAL receiver is connected to.
///
/// Loopback names and socket directories mean the machine of whoever says them: the receiver's mean the standby's.
pub(super) fn upstream(nodes: &[Node], standby: &Node) -> Option<NodeId> {
    let told = standby.observation.as_ref().filter(|told| told.in_recovery)?;
    named(nodes, standby, told.upstream.as_ref()?)
}

/// The configured node that `standby` calls by this address.
pub(super) fn named(nodes: &[Node], standby: &Node, (host, port): &(String, u16)) -> Option<NodeId> {
    let own_machine = machine(&standby.host);
    let wanted = match machine(host) {
        LOCAL => own_machine,
        other => other,
    };
    nodes
        .iter()
        .filter(|node| node.id != standby.id && node.port == *port)
        .find(|node| machine(&node.host).eq_ignore_ascii_case(wanted))
        .map(|node| node.id)
}

const LOCAL: &str = "localhost";

fn machine(host: &str) -> &str {
    let is_socket_directory = host.starts_with(['/', '@']);
    let is_loopback = host.eq_ignore_ascii_case(LOCAL)
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    if is_socket_directory || is_loopback { LOCAL } else { host }
}
