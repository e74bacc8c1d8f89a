//! What a package ships and the program itself knows best. In: the command line's own definition, the example configuration, and
//! the configuration of this machine. Out: man pages, completions of shells, and the addresses of `buzzerd.socket`. Guarantee:
//! nothing here is written twice, so a page cannot name an option or a key that is not there.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use buzzer_server::config::{Config, EXAMPLE};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure, config_file, configured, stdout};

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Where the pages go: buzzerd(1), one for each command, and buzzerd.toml(5)
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        write(&self.dir.join("buzzerd.toml.5"), &configuration(EXAMPLE))?;
        let shown = || self.dir.display().to_string();
        clap_mangen::generate_to(Cli::command(), &self.dir).with_context(shown).map_err(Failure::Failed)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "buzzerd", &mut script);
        stdout::print_own(&String::from_utf8_lossy(&script))
    }
}

#[derive(Debug, Args)]
pub(crate) struct SocketUnit {
    /// Where systemd looks for what is generated
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl SocketUnit {
    /// No state directory is needed here, so systemd can ask early in the boot.
    pub(crate) fn run(&self, path: Option<&Path>) -> Result<(), Failure> {
        let Some(path) = path.or_else(configured) else { return Ok(()) };
        let text = config_file::read(path).map_err(Failure::Usage)?;
        let config = Config::parse(&text, &path.display().to_string()).map_err(|_| {
            Failure::Usage(anyhow::anyhow!("{}: `buzzerd check` says what is wrong", path.display()))
        })?;
        let dir = self.dir.join("buzzerd.socket.d");
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let mut unit = format!("# From {}.\n[Socket]\nListenStream=\n", path.display());
        for address in &config.server.listen {
            let _ = writeln!(unit, "ListenStream={address}");
        }
        write(&dir.join("50-listen.conf"), &unit)
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).with_context(|| path.display().to_string()).map_err(Failure::Failed)
}

/// buzzerd.toml(5): the example, its comments as text and its lines as they are written.
fn configuration(example: &str) -> String {
    let mut page = String::from(
        ".TH buzzerd.toml 5 \"\" buzzerd buzzerd\n.SH NAME\nbuzzerd.toml \\- configuration of buzzerd\n.SH DESCRIPTION\n",
    );
    let mut in_code = false;
    for line in example.lines() {
        let comment = line.strip_prefix("# ");
        let is_code = !line.is_empty() && comment.is_none_or(is_key);
        if is_code != in_code {
            page.push_str(if is_code { ".PP\n.RS 4\n.nf\n" } else { ".fi\n.RE\n.PP\n" });
            in_code = is_code;
        }
        match (is_code, comment) {
            _ if line.is_empty() => page.push_str(".PP\n"),
            (true, _) => {
                let _ = writeln!(page, "{}", roff(line));
            }
            (false, text) => {
                let _ = writeln!(page, "{}", roff(text.unwrap_or(line)));
            }
        }
    }
    if in_code {
        page.push_str(".fi\n.RE\n");
    }
    page.push_str(
        ".SH FILES\n/etc/buzzerd/buzzerd.toml\n.SH SEE ALSO\n\\fBbuzzerd\\fR(1), \\fBbuzzerd\\-check\\fR(1), \\fBbuzzerd\\-devices\\fR(1)\n",
    );
    page
}

/// Whether a comment is a key that is not set.
fn is_key(comment: &str) -> bool {
    comment
        .split_once(" = ")
        .is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

/// A line that roff shows as it is.
fn roff(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What roff makes of a line, as far as [`roff`] hides something from it.
    fn shown(line: &str) -> String {
        line.trim_start_matches("\\&").replace("\\-", "-").replace("\\e", "\\")
    }

    #[test]
    fn every_line_of_the_example_is_on_the_page_in_its_order() {
        let page = configuration(EXAMPLE);
        let mut lines = page.lines().map(shown);
        for line in EXAMPLE.lines().filter(|line| !line.is_empty()) {
            let text = line.strip_prefix("# ").filter(|comment| !is_key(comment)).unwrap_or(line);
            assert!(lines.any(|shown| shown == text), "{line:?} is not on the page, or not in its place");
        }
    }

    #[test]
    fn a_key_stands_as_it_is_written_and_text_obeys_nothing() {
        let page = configuration("# Text.\n# listen = [\"a\"]\n# .so /etc/passwd\n# 'x\\n\n[log]\n");
        assert!(page.contains(".nf\n# listen = [\"a\"]\n.fi"), "{page}");
        assert!(page.contains("\n\\&.so /etc/passwd\n\\&'x\\en\n"), "{page}");
    }
}
