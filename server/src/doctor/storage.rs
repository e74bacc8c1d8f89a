//! Will the log be written, kept, and in time? In: the log directory and the runtime directory. Out: findings on
//! access, room, file system, sync times, and memory. Guarantee: only what makes the daemon stop or lose records fails.

use std::path::PathBuf;

use buzzer_core::time::Micros;

use super::facts::{DaemonFacts, Facts, LogDir, Read};
use super::fairness::ms;
use super::{CheckLevel, Finding};

const MIB: u64 = 1 << 20;
/// A press is a record of about 200 bytes: room for 2.5 million.
const FREE_WARN: u64 = 512 * MIB;
/// Others write here too, and a full disk is full for everybody.
const FREE_FAIL: u64 = 64 * MIB;
/// What a power cut may cost; SD cards that are worn take longer.
const SYNC_US_MAX: Micros = Micros::from_ms(100);

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let log = &facts.log;
    vec![
        directory(log, &facts.daemon),
        space(log),
        file_system(log),
        sync(&log.syncs),
        runtime(&facts.runtime),
    ]
}

fn directory(log: &LogDir, daemon: &DaemonFacts) -> Finding {
    const CHECK: &str = "log directory";
    const WHY: &str =
        "Every press is written there before anybody is told; without it the daemon does not start.";
    let path = log.path.display();
    if daemon.health().is_some_and(|health| health.log.as_ref() == Some(&log.path)) {
        return Finding::ok(CHECK, format!("{path}, the running daemon writes there"), WHY);
    }
    match &log.is_writable {
        Ok(true) if log.exists => Finding::ok(CHECK, format!("{path}, writable"), WHY),
        Ok(true) => Finding::ok(CHECK, format!("{path}, will be made at the first start"), WHY),
        Ok(false) => {
            let found = format!("{path} cannot be written by this account");
            let cure =
                format!("sudo install -d -o \"$USER\" {path}    (or run doctor as the service's account)");
            Finding::fail(CHECK, found, WHY).cure(cure)
        }
        Err(missing) => Finding::unknown(CHECK, missing, WHY),
    }
}

fn space(log: &LogDir) -> Finding {
    const CHECK: &str = "disk space";
    const WHY: &str = "16 MiB are set aside for the match at hand; beyond, on a full disk, presses are told but no longer kept.";
    Finding::of(CHECK, &log.free_bytes, WHY, |free| {
        let found = format!("{} free", bytes(*free));
        let cure = format!("df -h {0}    (make room, or set log.dir to a larger disk)", log.path.display());
        match free {
            ..FREE_FAIL => Finding::fail(CHECK, found, WHY).cure(cure),
            FREE_FAIL..FREE_WARN => Finding::warn(CHECK, found, WHY).cure(cure),
            _ => Finding::ok(CHECK, found, WHY),
        }
    })
}

fn bytes(bytes: u64) -> String {
    if bytes >= 10 * 1024 * MIB {
        format!("{} GiB", bytes / (1024 * MIB))
    } else {
        format!("{} MiB", bytes / MIB)
    }
}

fn file_system(log: &LogDir) -> Finding {
    const CHECK: &str = "file system";
    Finding::of(CHECK, &log.kind, "Some kinds lose the log at a power cut.", |kind| {
        let why = match kind.as_str() {
            "tmpfs" | "ramfs" => "This is memory: the log is gone when the power is.",
            "overlay" | "aufs" => "This is a container's own layer: the log is gone with the container.",
            "vfat" | "exfat" | "msdos" => "This kind keeps no journal: a power cut may damage the log.",
            "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "fuse.sshfs" => {
                "This is another computer's disk: when the network goes, so does the log."
            }
            kind => return Finding::ok(CHECK, kind, "On a local disk the log outlasts a power cut."),
        };
        Finding::warn(CHECK, kind, why)
            .cure("[log] dir = \"/var/lib/buzzerd\"    (a directory on a local disk)")
    })
}

fn sync(syncs: &Read<Vec<Micros>>) -> Finding {
    const CHECK: &str = "sync latency";
    const WHY: &str = "It tells how much of the log a power cut may cost; buzzes do not wait for it.";
    let mut times = match syncs {
        Ok(times) => times.clone(),
        Err(missing) => {
            return Finding::new(CHECK, CheckLevel::Unknown, format!("not measured: {missing}"), WHY);
        }
    };
    times.sort();
    let (Some(p50), Some(max)) = (times.get(times.len() / 2), times.last()) else {
        return Finding::new(CHECK, CheckLevel::Unknown, "not measured", WHY);
    };
    let found = format!("{} typical, {} at most, of {}", ms(*p50), ms(*max), times.len());
    if *max > SYNC_US_MAX {
        return Finding::warn(CHECK, found, WHY)
            .cure("Put log.dir on an SSD, or use an SD card of class A1 or better");
    }
    Finding::ok(CHECK, found, WHY)
}

fn runtime(runtime: &Option<(PathBuf, Read<String>)>) -> Finding {
    const CHECK: &str = "runtime directory";
    const WHY: &str = "Before a buzz is told it is written there; in memory no disk can stall that, and a crash does not lose it.";
    const CURE: &str =
        "RuntimeDirectory=buzzerd in [Service] of the unit, or log in so that XDG_RUNTIME_DIR is set";
    let Some((dir, kind)) = runtime else {
        let found = "none: neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR is set";
        return Finding::warn(CHECK, found, WHY).cure(CURE);
    };
    match kind {
        Ok(kind) if kind == "tmpfs" || kind == "ramfs" => {
            Finding::ok(CHECK, format!("{} in memory ({kind})", dir.display()), WHY)
        }
        Ok(kind) => {
            Finding::warn(CHECK, format!("{} on {kind}, not in memory", dir.display()), WHY).cure(CURE)
        }
        Err(missing) => Finding::unknown(CHECK, missing, WHY),
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckLevel::{Fail, Ok as Fine, Unknown, Warn};
    use super::super::facts::tests::{fit, missing};
    use super::*;

    fn log() -> LogDir {
        fit().log
    }

    #[test]
    fn a_directory_that_nobody_may_write_fails() {
        let absent = DaemonFacts::AnyPort;
        for (exists, is_writable, want, text) in [
            (true, Ok(true), Fine, "/var/lib/buzzerd, writable"),
            (false, Ok(true), Fine, "/var/lib/buzzerd, will be made at the first start"),
            (true, Ok(false), Fail, "/var/lib/buzzerd cannot be written by this account"),
            (true, missing(), Unknown, "cannot be read: /proc/x: permission denied"),
        ] {
            let finding = directory(&LogDir { exists, is_writable, ..log() }, &absent);
            assert_eq!((finding.verdict, finding.found.as_str()), (want, text));
        }
        // A daemon that writes there proves it for its own account, not for that of the asking process.
        let shut = LogDir { is_writable: Ok(false), ..log() };
        assert_eq!(directory(&shut, &fit().daemon).verdict, Fine);
        let elsewhere = LogDir { path: "/srv/log".into(), ..shut };
        assert_eq!(directory(&elsewhere, &fit().daemon).verdict, Fail);
    }

    #[test]
    fn room_has_two_limits() {
        for (free, want, text) in [
            (0, Fail, "0 MiB free"),
            (64 * MIB - 1, Fail, "63 MiB free"),
            (64 * MIB, Warn, "64 MiB free"),
            (512 * MIB - 1, Warn, "511 MiB free"),
            (512 * MIB, Fine, "512 MiB free"),
            (20 * 1024 * MIB, Fine, "20 GiB free"),
        ] {
            let finding = space(&LogDir { free_bytes: Ok(free), ..log() });
            assert_eq!((finding.verdict, finding.found.as_str()), (want, text));
        }
        assert_eq!(space(&LogDir { free_bytes: missing(), ..log() }).verdict, Unknown);
    }

    #[test]
    fn some_file_systems_do_not_keep_a_log() {
        for (kind, want) in [
            ("ext4", Fine),
            ("btrfs", Fine),
            ("tmpfs", Warn),
            ("overlay", Warn),
            ("vfat", Warn),
            ("nfs4", Warn),
        ] {
            assert_eq!(file_system(&LogDir { kind: Ok(kind.to_owned()), ..log() }).verdict, want, "{kind}");
        }
        assert_eq!(file_system(&LogDir { kind: missing(), ..log() }).verdict, Unknown);
    }

    #[test]
    fn one_slow_sync_is_enough() {
        let times = |ms: &[u64]| Ok(ms.iter().map(|ms| Micros::from_ms(*ms)).collect());
        for (syncs, want, text) in [
            (times(&[3, 1, 2]), Fine, "2 ms typical, 3 ms at most, of 3"),
            (times(&[100]), Fine, "100 ms typical, 100 ms at most, of 1"),
            (times(&[1, 1, 101]), Warn, "1 ms typical, 101 ms at most, of 3"),
            (times(&[]), Unknown, "not measured"),
            (missing(), Unknown, "not measured: /proc/x: permission denied"),
        ] {
            let finding = sync(&syncs);
            assert_eq!((finding.verdict, finding.found.as_str()), (want, text));
        }
    }

    #[test]
    fn the_runtime_directory_is_memory() {
        for (dir, kind, want) in [
            (Some("/run/buzzerd"), Ok("tmpfs"), Fine),
            (Some("/var/run"), Ok("ext4"), Warn),
            (Some("/run/buzzerd"), Err(()), Unknown),
            (None, Err(()), Warn),
        ] {
            let kind = kind.map(str::to_owned).or_else(|()| missing());
            let finding = runtime(&dir.map(|dir| (dir.into(), kind)));
            assert_eq!(finding.verdict, want, "{finding:?}");
        }
    }
}
