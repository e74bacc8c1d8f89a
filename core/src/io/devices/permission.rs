//! May this process read a node, and if not, what would change that. In: the node's path. Out: a sentence for the
//! person at the console: what is wrong and the cure, by command or by rule. Guarantee: nothing is opened.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{fs, io};

use rustix::fs::{Access, access};

use crate::quote::kernel_words;

/// What is in the way of opening this node for reading. `None`: nothing that can be seen without trying (a
/// container's device rules, for one, cannot).
pub fn trouble(path: &Path) -> Option<String> {
    match access(path, Access::READ_OK) {
        Ok(()) => None,
        Err(error) if error == rustix::io::Errno::ACCESS => Some(denied(path)),
        Err(error) if error == rustix::io::Errno::NOENT => Some(absent(path)),
        Err(error) => Some(format!("{}: {}", path.display(), kernel_words(&io::Error::from(error)))),
    }
}

/// The sentence for a node that is not there though the kernel has the device.
pub(crate) fn absent(path: &Path) -> String {
    let dir = path.parent().unwrap_or(path);
    format!(
        "{} does not exist, though the kernel has the device: it was just unplugged, or this container was not \
         given the directory {} (bind-mount all of it, single nodes go stale)",
        path.display(),
        dir.display()
    )
}

/// The sentence for EACCES: whose the node is, and how to be let in.
pub(crate) fn denied(path: &Path) -> String {
    let Ok(node) = fs::metadata(path) else {
        return format!(
            "{}: permission denied, also for the directories above it: run as a user that may enter them",
            path.display()
        );
    };
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let (user, group) = (name_of(&users, node.uid()), name_of(&groups, node.gid()));
    explain(path, &user, &group, node.mode() & 0o7777)
}

/// Needs nothing but what is installed: no file of the source tree.
fn explain(path: &Path, user: &str, group: &str, mode: u32) -> String {
    let shown = path.display();
    let join = |group: &str| {
        format!(
            "add the user to group {group}: `sudo usermod -aG {group} $USER`, then log in again (a service: \
             `SupplementaryGroups={group}`)"
        )
    };
    // Events are only read; lights and hidraw nodes are written to.
    let is_read = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"event"));
    let needed = if is_read { 0o040 } else { 0o020 };
    let cure = match rule(path) {
        // Root's own group is no group to put a player's laptop into; a box without /etc/group has its number only.
        _ if mode & needed != 0 && !matches!(group, "root" | "0") => join(group),
        Some(rule) => format!(
            "give it to group input: `echo '{rule}' | sudo tee -a /etc/udev/rules.d/72-buzzerd-local.rules && sudo udevadm \
             control --reload`, plug the device in again, and {}",
            join("input")
        ),
        None => "run as a user that may use it".to_owned(),
    };
    format!("{shown} belongs to {user}:{group}, mode {mode:04o}: {cure}")
}

/// The lines of udev that give such nodes to group input: as `deploy/71-buzzerd.rules` has them, for every device.
const RULES: [(&str, &str); 3] = [
    ("event", r#"SUBSYSTEM=="input", KERNEL=="event*", GROUP="input", MODE="0660""#),
    (
        "hidraw",
        r#"SUBSYSTEM=="hidraw", ATTRS{idVendor}=="054c", ATTRS{idProduct}=="1000", GROUP="input", MODE="0660""#,
    ),
    (
        "brightness",
        r#"ACTION=="add|change", SUBSYSTEM=="leds", KERNEL=="0003:054C:*::buzz[1-4]", RUN+="/bin/chgrp input /sys%p/brightness", RUN+="/bin/chmod 0664 /sys%p/brightness""#,
    ),
];

fn rule(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    RULES.iter().find(|(start, _)| name.starts_with(start)).map(|(_, rule)| *rule)
}

/// The name of a numeric id, by the text of `/etc/passwd` or `/etc/group`: both start `name:password:id`. What is
/// not there (a directory service) stays a number.
fn name_of(table: &str, id: u32) -> String {
    let wanted = id.to_string();
    let name = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then(|| name.to_owned())
    });
    name.unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cure_fits_the_node() {
        let path = Path::new("/dev/input/event7");
        let usual = explain(path, "root", "input", 0o660);
        assert!(
            usual.starts_with(
                "/dev/input/event7 belongs to root:input, mode 0660: add the user to group input"
            )
        );
        assert!(usual.contains("`sudo usermod -aG input $USER`") && !usual.contains("rules.d"), "{usual}");
        for (node, group, mode, rule) in [
            ("/dev/input/event7", "root", 0o660, "KERNEL==\"event*\""),
            ("/dev/input/event7", "input", 0o600, "KERNEL==\"event*\""),
            ("/dev/input/event7", "0", 0o640, "KERNEL==\"event*\""),
            ("/dev/hidraw3", "root", 0o600, "SUBSYSTEM==\"hidraw\""),
            ("/dev/hidraw3", "plugdev", 0o640, "SUBSYSTEM==\"hidraw\""),
            ("/sys/class/leds/0003:054C:0002.0003::buzz1/brightness", "root", 0o644, "SUBSYSTEM==\"leds\""),
        ] {
            let text = explain(Path::new(node), "root", group, mode);
            assert!(text.contains(rule) && text.contains("usermod -aG input"), "{text}");
            assert!(!text.contains("deploy/"), "a person who installed the program has no source: {text}");
            let command = text.split('`').nth(1).unwrap();
            assert!(command.starts_with("echo '") && command.matches('\'').count() == 2, "{command}");
        }
    }

    #[test]
    fn ids_have_names_where_the_table_says_so() {
        let table = "root:x:0:\n# comment\n\ninput:x:104:me\n";
        assert_eq!(["0", "104", "7"].map(|id| name_of(table, id.parse().unwrap())), ["root", "input", "7"]);
    }

    #[test]
    fn what_can_be_read_is_no_trouble_and_what_is_missing_is() {
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().join("event7");
        assert!(trouble(&node).unwrap().contains("does not exist"));
        fs::write(&node, "").unwrap();
        assert_eq!(trouble(&node), None);
    }
}
