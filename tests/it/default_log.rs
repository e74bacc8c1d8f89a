//! `buzzerd log` that is told no log. In: a network of its own, where the default port is free, with and without a daemon on it.
//! Out: the daemon's log, or that there is none. Guarantee: what is outside of the namespaces decides nothing.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use buzzer_tests::harness::daemon::binary;
use buzzer_tests::harness::left_out::left_out;
use buzzer_tests::{Home, log};

/// What starts a command where only loopback is, nothing listens, and nobody has installed anything.
fn alone() -> Vec<String> {
    let script = "ip link set lo up && mkdir -p /etc/buzzerd /var/lib && mount -t tmpfs none /etc/buzzerd && \
                  mount -t tmpfs none /var/lib && exec \"$@\"";
    ["unshare", "-n", "-m", "--propagation", "private", "sh", "-c", script, "sh"].map(str::to_owned).to_vec()
}

/// `buzzerd log` without a path, as somebody who has no log of his own.
fn run(wrapper: &[String], arguments: &[&str], home: &Path) -> Output {
    let mut command = Command::new(&wrapper[0]);
    command.args(&wrapper[1..]).arg(binary()).arg("log").args(arguments);
    for name in ["STATE_DIRECTORY", "XDG_STATE_HOME", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    command.env("HOME", home).stdin(Stdio::null()).output().expect("it runs")
}

#[test]
fn a_log_that_nobody_names_is_that_of_the_daemon_that_answers() {
    const NAME: &str = "a_log_that_nobody_names_is_that_of_the_daemon_that_answers";
    let wrapper = alone();
    let tried = Command::new(&wrapper[0]).args(&wrapper[1..]).arg("true").stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        return left_out(NAME, "a network namespace needs root, `unshare` and `ip`");
    }
    let mut home = Home::with_config(
        "[log]\ndir = \"$DIR/log\"\n[[pool]]\nid = \"desk\"\nsocket = \"$DIR/desk.sock\"\nautoconnect = true\n",
    );
    home.set_wrapper(&wrapper);
    let nobody = tempfile::tempdir().expect("a directory");
    let daemon = home.serve();
    assert_eq!(daemon.address(), "127.0.0.1:7400".parse().expect("an address"), "the default");
    // An idle daemon signs what it has: both looks are to find that.
    home.journal().wait_checkpoints(1);
    let pid = daemon.pid().to_string();
    let beside = ["nsenter", "--net", "--mount", "--target", &pid].map(str::to_owned);
    for arguments in [&["fingerprint"][..], &["show", "--json"], &["verify"], &["explain"], &["export"]] {
        let output = run(&beside, arguments, nobody.path());
        let named = log(arguments, home.journal().dir());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(named.code), "{arguments:?}: {said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), named.stdout, "{arguments:?}: {said}");
        assert!(!named.stdout.is_empty(), "{arguments:?}");
    }
    // A path on the command line counts before the daemon that answers.
    let output = run(&beside, &["fingerprint", "/var/lib"], nobody.path());
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    daemon.stop();
    let output = run(&wrapper, &["fingerprint"], nobody.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&nobody.path().display().to_string()), "where it looked: {said}");
}
