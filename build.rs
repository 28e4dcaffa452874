//! Hands the git hash to `version.rs`. Outside git (a tarball, an image) it comes from `PGHERD_GIT_HASH`, or is "unknown".

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PGHERD_GIT_HASH");
    let given = std::env::var("PGHERD_GIT_HASH").ok().filter(|hash| !hash.is_empty());
    let hash = given.or_else(|| {
        // Cargo reruns this for ever when a watched file is missing, so only files that exist are named. The log of
        // HEAD changes with every commit and checkout; HEAD alone would miss the commits.
        for file in ["HEAD", "logs/HEAD"] {
            if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
                println!("cargo:rerun-if-changed={path}");
            }
        }
        git(&["rev-parse", "--short=12", "HEAD"])
    });
    println!("cargo:rustc-env=PGHERD_GIT_HASH={}", hash.as_deref().unwrap_or("unknown"));
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
