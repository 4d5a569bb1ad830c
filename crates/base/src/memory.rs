//! How much memory this process may still take: the least of what the machine, its control groups and its own limits
//! leave.

use crate::number::significant;
use std::path::Path;

/// A number of bytes as a person reads it.
pub fn gigabytes(bytes: u128) -> String {
    match bytes as f64 / 1e9 {
        small if small < 0.1 => format!("{} MB", significant(1e3 * small, 2)),
        x if x < 1e6 => format!("{x:.1} GB"),
        x => format!("{} GB", significant(x, 2)),
    }
}

/// Bytes that can be had now; `None` where the system does not tell (it does on Linux).
pub fn available_bytes() -> Option<u128> {
    [of_machine(), of_control_groups(), of_limits()]
        .into_iter()
        .flatten()
        .min()
}

/// MemAvailable.
fn of_machine() -> Option<u128> {
    kilobytes(&read("/proc/meminfo")?, "MemAvailable:")
}

/// What `ulimit -v` and `ulimit -d` leave of the address space and the data.
fn of_limits() -> Option<u128> {
    left_by_limits(&read("/proc/self/limits")?, &read("/proc/self/status")?)
}

fn left_by_limits(limits: &str, status: &str) -> Option<u128> {
    let left = |limit: &str, used: &str| {
        let line = limits.lines().find_map(|l| l.strip_prefix(limit))?;
        // The soft limit; "unlimited" is no number.
        let limit: u128 = line.split_whitespace().next()?.parse().ok()?;
        Some(limit.saturating_sub(kilobytes(status, used)?))
    };
    let space = left("Max address space", "VmSize:");
    let data = left("Max data size", "VmData:");
    [space, data].into_iter().flatten().min()
}

/// What the control groups of this process leave, version 2 or 1.
fn of_control_groups() -> Option<u128> {
    let mounted = Path::new("/sys/fs/cgroup");
    groups(&read("/proc/self/cgroup")?)
        .into_iter()
        .filter_map(|(below, version)| {
            // A limit further up counts as well; in a container the own group is mounted as the root.
            let (root, group) = match version {
                2 => (mounted.to_owned(), below),
                _ => (mounted.join("memory"), below),
            };
            let own = root.join(group.trim_start_matches('/'));
            let chain = own.ancestors().take_while(|a| a.starts_with(&root));
            chain.filter_map(|g| left_in_group(g, version)).min()
        })
        .min()
}

/// The groups that /proc/self/cgroup names, with the version they belong to.
fn groups(text: &str) -> Vec<(String, u8)> {
    let group = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        if controllers.is_empty() {
            return Some((path.to_owned(), 2));
        }
        let memory = controllers.split(',').any(|c| c == "memory");
        memory.then(|| (path.to_owned(), 1))
    };
    text.lines().filter_map(group).collect()
}

fn left_in_group(group: &Path, version: u8) -> Option<u128> {
    let (limit, used) = match version {
        2 => ("memory.max", "memory.current"),
        _ => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    };
    let number = |name: &str| -> Option<u128> {
        let text = std::fs::read_to_string(group.join(name)).ok()?;
        text.trim().parse().ok()
    };
    let (limit, used) = (number(limit)?, number(used)?);
    // Files in memory are given up when there is need.
    let files = std::fs::read_to_string(group.join("memory.stat")).ok();
    let files = files.and_then(|text| {
        let line = text.lines().find_map(|l| {
            l.strip_prefix("inactive_file ")
                .or(l.strip_prefix("total_inactive_file "))
        })?;
        line.trim().parse::<u128>().ok()
    });
    Some(limit.saturating_sub(used.saturating_sub(files.unwrap_or(0))))
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The number of kilobytes in the line that starts with `name`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u128> {
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    let kilobytes: u128 = line.split_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_counts() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max data size             unlimited            unlimited            bytes     \n\
                      Max address space         1048576000           unlimited            bytes     \n";
        let status = "Name:\tgdcert\nVmSize:\t  24000 kB\nVmData:\t   9000 kB\n";
        let left = left_by_limits(limits, status);
        assert_eq!(left, Some(1048576000 - 24000 * 1024));
        let none = limits.replace("1048576000", "unlimited ");
        assert_eq!(left_by_limits(&none, status), None);
    }

    #[test]
    fn both_versions_of_control_groups_are_read() {
        let text = "12:cpu,memory:/a/b\n1:name=systemd:/x\n0::/c\n";
        let found = groups(text);
        assert_eq!(found, [("/a/b".to_owned(), 1), ("/c".to_owned(), 2)]);
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(group.path().join(name), text).unwrap();
        write("memory.max", "max\n");
        write("memory.current", "700\n");
        assert_eq!(left_in_group(group.path(), 2), None);
        write("memory.max", "1000\n");
        assert_eq!(left_in_group(group.path(), 2), Some(300));
        write("memory.stat", "anon 5\ninactive_file 600\n");
        assert_eq!(left_in_group(group.path(), 2), Some(900));
    }
}
