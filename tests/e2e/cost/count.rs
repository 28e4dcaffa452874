//! The proxy under callgrind: a dump each time that a client's connection is closed, and a log of its system calls.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::proxy::BINARY;

/// Where the allocator is entered.
const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];

/// What the allocator and the runtime's locks do now and then is nobody's transaction.
const NOW_AND_THEN: [&str; 6] = ["sys_mprotect", "sys_brk", "sys_mmap", "sys_munmap", "sys_madvise", "sys_futex"];

pub struct Valgrind {
    dir: tempfile::TempDir,
}

/// Of the worker's thread.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub instructions: u64,
    pub allocations: u64,
    /// Without a system call where the kernel maps the clock, but not free.
    pub clock_reads: u64,
    pub syscalls: u64,
    /// By name.
    pub calls: BTreeMap<String, u64>,
}

// === impl Valgrind ===

impl Valgrind {
    pub fn is_there() -> bool {
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    pub fn new(split: bool, binary: Option<&Path>) -> Self {
        let dir = match std::env::var_os("PGHERD_COST_DIR") {
            None => tempfile::tempdir().unwrap(),
            Some(kept) => {
                let prefix = if split { "on-" } else { "off-" };
                let mut dir = tempfile::Builder::new().prefix(prefix).tempdir_in(kept).unwrap();
                dir.disable_cleanup(true);
                dir
            }
        };
        let at = dir.path().display();
        let binary = binary.unwrap_or(Path::new(BINARY)).display();
        let script = format!(
            "#!/bin/sh\nexec valgrind --tool=callgrind --separate-threads=yes --compress-strings=no --compress-pos=no \
             --dump-before=close --trace-syscalls=yes --callgrind-out-file={at}/out --log-file={at}/log {binary} \"$@\"\n"
        );
        std::fs::write(dir.path().join("pgherd"), script).unwrap();
        std::fs::set_permissions(dir.path().join("pgherd"), std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { dir }
    }

    /// Runs the proxy under it.
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("pgherd")
    }

    /// The last windows of the worker's thread, from one connection's end to the next one's.
    pub fn windows(&self, count: usize) -> Vec<Counted> {
        let log = std::fs::read(self.dir.path().join("log")).unwrap();
        let log = String::from_utf8_lossy(&log);
        // No other thread serves clients; the main thread's HTTP server may accept some as well.
        let worker = log.split("SYSCALL[").filter_map(called).filter(|(_, name)| *name == "sys_accept4");
        let worker = worker.map(|(thread, _)| thread).max().expect("a connection was accepted");
        let mut windows = vec![Counted::default()];
        for (_, name) in log.split("SYSCALL[").filter_map(called).filter(|(thread, _)| *thread == worker) {
            if name == "sys_close" {
                windows.push(Counted::default());
            }
            let window = windows.last_mut().expect("it has one at least");
            match name {
                "sys_clock_gettime" => window.clock_reads += 1,
                name if NOW_AND_THEN.contains(&name) => {}
                _ => window.syscalls += 1,
            }
            *window.calls.entry(name.to_owned()).or_default() += 1;
        }
        // What was called behind the last one is in no window.
        windows.pop();
        let dumps = self.dumps(worker);
        assert_eq!(dumps.len(), windows.len(), "one dump for each connection");
        for (window, dump) in windows.iter_mut().zip(dumps) {
            (window.instructions, window.allocations) = read_dump(&std::fs::read_to_string(dump).unwrap());
        }
        windows.split_off(windows.len() - count)
    }

    /// `out.NUMBER-THREAD`, in the order of their numbers.
    fn dumps(&self, thread: u32) -> Vec<PathBuf> {
        let numbered = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.unwrap().path();
            let name = path.file_name()?.to_str()?.strip_prefix("out.")?.to_owned();
            let (number, of) = name.split_once('-')?;
            (of.parse::<u32>().ok()? == thread).then_some(())?;
            Some((number.parse::<u32>().ok()?, path))
        };
        let dumps: BTreeMap<_, _> = std::fs::read_dir(self.dir.path()).unwrap().filter_map(numbered).collect();
        dumps.into_values().collect()
    }
}

/// Thread and name, of `PID,THREAD](NUMBER) sys_NAME ( …`; none for what follows of the same call.
fn called(entry: &str) -> Option<(u32, &str)> {
    let (head, rest) = entry.split_once(") sys_")?;
    let thread = head.split_once(',')?.1.split_once(']')?.0.parse().ok()?;
    let name = &entry[entry.len() - rest.len() - 4..];
    Some((thread, name.split([' ', '(']).next()?))
}

/// (instructions, calls of the allocator)
fn read_dump(dump: &str) -> (u64, u64) {
    let number = |text: &str| text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    let (mut instructions, mut allocations, mut is_allocator) = (0, 0, false);
    for line in dump.lines() {
        if let Some(rest) = line.strip_prefix("totals:") {
            instructions = number(rest);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            is_allocator = ALLOCATORS.contains(&name);
        } else if let Some(rest) = line.strip_prefix("calls=") {
            allocations += if std::mem::take(&mut is_allocator) { number(rest) } else { 0 };
        }
    }
    (instructions, allocations)
}

// === impl Counted ===

impl Counted {
    pub fn minus(&self, other: &Self) -> Self {
        let mut calls = self.calls.clone();
        for (name, count) in &other.calls {
            let left = calls.entry(name.clone()).or_default();
            *left = left.saturating_sub(*count);
        }
        Self {
            instructions: self.instructions.saturating_sub(other.instructions),
            allocations: self.allocations.saturating_sub(other.allocations),
            clock_reads: self.clock_reads.saturating_sub(other.clock_reads),
            syscalls: self.syscalls.saturating_sub(other.syscalls),
            calls,
        }
    }

    /// Of each count the smallest: chance only adds.
    pub fn least<'a>(several: impl IntoIterator<Item = &'a Self>) -> Self {
        let smaller = |one: Self, other: &Self| Self {
            instructions: one.instructions.min(other.instructions),
            allocations: one.allocations.min(other.allocations),
            clock_reads: one.clock_reads.min(other.clock_reads),
            calls: if other.syscalls < one.syscalls { other.calls.clone() } else { one.calls },
            syscalls: one.syscalls.min(other.syscalls),
        };
        let mut several = several.into_iter();
        let first = several.next().cloned().unwrap_or_default();
        several.fold(first, smaller)
    }

    /// For each of so many, in hundredths.
    pub fn per(&self, count: u64) -> Self {
        let per = |number: u64| number * 100 / count;
        Self {
            instructions: per(self.instructions),
            allocations: per(self.allocations),
            clock_reads: per(self.clock_reads),
            syscalls: per(self.syscalls),
            calls: self.calls.iter().map(|(name, number)| (name.clone(), per(*number))).collect(),
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = |number: u64| format!("{}.{:02}", number / 100, number % 100);
        for count in [self.allocations, self.clock_reads, self.syscalls] {
            write!(f, "{} ", hundredths(count))?;
        }
        write!(f, "{} (", self.instructions / 100)?;
        for (name, count) in self.calls.iter().filter(|(_, count)| **count > 0) {
            write!(f, " {} {}", hundredths(*count), name.trim_start_matches("sys_"))?;
        }
        write!(f, " )")
    }
}

#[test]
fn what_valgrind_writes_is_read() {
    let log =
        "x\nSYSCALL[5,2](44) sys_sendto ( 5, 0x1, 1 ) --> [async] ... \nSYSCALL[5,2](44) ... [async] --> Success(1)";
    assert_eq!(log.split("SYSCALL[").filter_map(called).collect::<Vec<_>>(), [(2, "sys_sendto")]);
    let dump =
        "fn=f\n1 5\ncfn=malloc\ncalls=3 7\n1 40\ncfn=free\ncalls=9 1\n1 2\ncfn=realloc\ncalls=1 7\n\ntotals: 99\n";
    assert_eq!(read_dump(dump), (99, 4));
}
