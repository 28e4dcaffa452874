//! What an operator, or an agent on each machine, does after a failover: the old primary becomes a standby.

use pgherd::demo::{Node, StopMode};

use super::rig::Rig;

/// The demo writes it into each data directory; a rewind and a base backup bring the other node's.
const CONF: &str = "pgherd-demo.conf";

impl Rig {
    /// Stops `old`, rewinds it to `primary` (a base backup if that can't be done), and starts it as its standby.
    pub fn rejoin(&self, old: &str, primary: &str) {
        let (node, source) = (self.node(old), self.node(primary));
        let _ = node.sigcont();
        node.stop(StopMode::Immediate).unwrap();
        let conf = std::fs::read_to_string(node.data_dir().join(CONF)).unwrap();
        // Until its checkpoint the new primary's control file names the old timeline: "no rewind required".
        source.psql("CHECKPOINT").unwrap();
        if let Err(why) = self.rewind(node, source) {
            eprintln!("{old}: {why}; a base backup instead");
            self.copy(node, source);
        }
        let site = self.cluster.site();
        site.write(&node.data_dir().join(CONF), &conf).unwrap();
        let mut auto = format!("primary_conninfo = '{}'\n", self.conninfo(old, primary).replace('\'', "''"));
        if self.is_quorum() {
            auto += &format!("synchronous_standby_names = '{}'\n", self.quorum_names(old));
        }
        site.write(&node.data_dir().join("postgresql.auto.conf"), &auto).unwrap();
        site.write(&node.data_dir().join("standby.signal"), "").unwrap();
        node.start().unwrap();
        self.wait_streaming(primary, &[old]);
    }

    fn rewind(&self, node: &Node, source: &Node) -> Result<String, pgherd::demo::Error> {
        let site = self.cluster.site();
        let mut rewind = site.command("pg_rewind");
        rewind.env("PGPASSWORD", site.passwords.superuser.expose());
        rewind.arg("--no-sync").arg("--target-pgdata").arg(node.data_dir());
        rewind.arg(format!(
            "--source-server=host={} port={} user=postgres dbname=postgres",
            source.host(),
            source.port()
        ));
        site.run(&format!("rewind {}", node.name()), &mut rewind)
    }

    fn copy(&self, node: &Node, source: &Node) {
        std::fs::remove_dir_all(node.data_dir()).unwrap();
        let site = self.cluster.site();
        let mut backup = site.command("pg_basebackup");
        backup.env("PGPASSFILE", site.passfile());
        backup.args(["--checkpoint=fast", "--wal-method=stream", "--no-sync", "--dbname"]);
        backup.arg(format!("host={} port={} user=replicator", source.host(), source.port()));
        backup.arg("--pgdata").arg(node.data_dir());
        site.run(&format!("copy {} to {}", source.name(), node.name()), &mut backup).unwrap();
    }
}
