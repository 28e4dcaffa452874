//! Where the configuration comes from: the file, the environment over it, and the files with passwords. The only part
//! of `config` that reads files and the environment.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Config;
use super::error::ConfigError;
use super::layer::{Layer, layer};
use super::reader::Reader;
use super::resolve::resolve;
use super::source::Source;

const LARGEST_FILE: u64 = 1 << 20;
const LARGEST_SECRET: u64 = 4096;

/// The file at `path`, and over it the `PGHERD__SECTION__KEY` of `variables` (see `environment`).
///
/// # Errors
/// One that names key, value, place and what is allowed; its `Display` is the whole message.
pub fn load(path: &Path, variables: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    let name = path.display().to_string();
    let text = read(path, LARGEST_FILE).map_err(|reason| ConfigError::new(&name, reason))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    build(&name, &text, variables, &|file| read_secret(&directory.join(file)))
}

/// What `load` takes from this process's environment.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    // Lossy: a variable of ours that is not UTF-8 is refused for its U+FFFD, others are nobody's business.
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

impl Config {
    /// The configuration in `text`, and nothing else: no environment, no password files. `name` is for messages.
    ///
    /// # Errors
    /// As `load`.
    pub fn from_toml(text: &str, name: &str) -> Result<Self, ConfigError> {
        build(name, text, std::iter::empty(), &|_| Err("there is no file to read here".to_owned()))
    }
}

fn build(
    name: &str,
    text: &str,
    variables: impl Iterator<Item = (String, String)>,
    read_secret: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Config, ConfigError> {
    let (source, raw) = Source::parse(name, text)?;
    let Layer { raw, variables } = match layer(text, variables)? {
        Some(layer) => layer,
        None => Layer { raw, variables: BTreeMap::new() },
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    resolve(raw, &Reader { source: &source, variables: &variables, read_secret }, cores)
}

/// The text of a small file, or why not.
fn read(path: &Path, largest: u64) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read it: {error}");
    let mut bytes = Vec::new();
    File::open(path).map_err(cannot)?.take(largest + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > largest {
        return Err(format!("it is larger than {largest} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8")
    })
}

/// The secret in a file of its own, without the newline at its end.
fn read_secret(path: &Path) -> Result<String, String> {
    let about = |reason: String| format!("{}: {reason}", path.display());
    let metadata = std::fs::metadata(path).map_err(|error| about(format!("cannot read it: {error}")))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(about(format!("everybody on this machine may open it (mode {mode:04o}): chmod o-rwx")));
    }
    let text = read(path, LARGEST_SECRET).map_err(about)?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() || secret.contains('\n') {
        return Err(about("it must hold the password on one line, and nothing else".to_owned()));
    }
    Ok(secret.to_owned())
}
