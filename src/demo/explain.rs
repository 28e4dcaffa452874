//! What the demo tells of itself, in lines to paste.

use std::path::Path;

use super::cluster::Cluster;
use super::proxy::Proxy;
use super::screen::say;
use super::setup::{ADMIN, APP};
use super::site::Site;
use super::{Options, workload};

/// What is used, and where.
pub fn site(site: &Site) {
    let user = site.account.name().map(|name| format!(" as user {name}")).unwrap_or_default();
    say(&format!(
        "PostgreSQL {} from {}{user}, data in {}",
        site.binaries.version,
        site.binaries.dir().display(),
        site.dir.display()
    ));
}

/// How to reach the cluster through the proxy, and what to try.
pub fn access(cluster: &Cluster, proxy: &Proxy, options: &Options) {
    let dsn = |user: &str, database: &str| {
        let password = cluster.passwords().of(user).map(|password| password.expose().to_owned()).unwrap_or_default();
        format!("postgresql://{user}:{password}@127.0.0.1:{}/{database}", proxy.port())
    };
    let app = dsn(APP, APP);
    let console = dsn(ADMIN, "pgherd");
    let postmaster = cluster.pg1.data_dir().join("postmaster.pid");
    let end = if options.keep { "stops everything" } else { "stops and removes everything" };
    say(&format!(
        "
  DSN      {app}
  psql     psql '{app}'
  console  psql '{console}' -c 'SHOW CLUSTER'
  metrics  curl http://127.0.0.1:{}/metrics
  try      psql '{console}' -c 'SWITCHOVER'
           kill -9 $(head -1 {})
  log      {}

{}Ctrl-C {end}.
",
        proxy.http_port(),
        postmaster.display(),
        proxy.log().display(),
        match options.workload {
            true => format!("{} clients read and {} writes through the proxy. ", workload::READERS, workload::WRITERS),
            false => String::new(),
        },
    ));
}

/// How to start again what is kept.
pub fn restart(cluster: &Cluster, proxy: &Proxy) {
    say(&format!("\nThe data is kept in {}. To start it again:", cluster.dir().display()));
    for node in cluster.nodes() {
        let arguments = format!("start -D {} -l {}", node.data_dir().display(), node.log().display());
        say(&format!("  {}", as_account(cluster, &arguments)));
    }
    let program = std::env::current_exe().unwrap_or_else(|_| Path::new("pgherd").to_owned());
    say(&format!("  {} run --config {}", program.display(), proxy.config().display()));
}

/// A pg_ctl line to paste.
fn as_account(cluster: &Cluster, arguments: &str) -> String {
    let site = cluster.site();
    let user = site.account.name().map(|name| format!("runuser -u {name} -- ")).unwrap_or_default();
    format!("{user}{} {arguments}", site.binaries.path("pg_ctl").display())
}
