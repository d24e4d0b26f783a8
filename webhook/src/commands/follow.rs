//! Follows one upgrade until it ends: bars on a terminal, lines elsewhere. Ctrl-C ends the following, not the upgrade.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use jiff::Timestamp;
use milvus_guard_webhook::progress::{self, Release};

use super::cluster::Cluster;
use super::status::{Moves, read};

/// How following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The upgrade is complete.
    Complete,
    /// It failed, went back, or waits for a person.
    Stopped,
    /// Somebody pressed Ctrl-C; the upgrade goes on without us.
    Left,
}

impl Ended {
    /// The exit code: 0, 1, or what shells give for an interrupt.
    pub(super) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Complete => 0,
            Self::Stopped => 1,
            Self::Left => 130,
        })
    }
}

/// Shows progress as it is told.
#[derive(Default)]
pub(super) struct Screen {
    /// Lines on the terminal that the next picture replaces.
    drawn: usize,
    /// What was said of each workload, elsewhere.
    said: BTreeMap<String, String>,
}

impl Screen {
    /// Shows where a release is; elsewhere than on a terminal only what is new.
    pub(super) fn show(&mut self, release: &Release) -> std::io::Result<()> {
        let now = Timestamp::now().as_second();
        let mut out = std::io::stdout();
        if out.is_terminal() {
            let text = progress::bars(release, now);
            let up = if self.drawn > 0 { format!("\x1b[{}A\x1b[J", self.drawn) } else { String::new() };
            self.drawn = text.lines().count();
            write!(out, "{up}{text}")?;
            return out.flush();
        }
        for (what, line) in progress::lines(release) {
            if self.said.get(&what) != Some(&line) {
                writeln!(out, "{} {what}: {line}", Timestamp::from_second(now).unwrap_or_default())?;
                self.said.insert(what, line);
            }
        }
        out.flush()
    }
}

/// Follows the upgrade of a release in the namespace of `cluster`.
pub(super) async fn follow(cluster: &Cluster, release: &str) -> anyhow::Result<Ended> {
    let mut moves = Moves::of(cluster);
    let mut screen = Screen::default();
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    loop {
        if let Some(found) = read(cluster).await?.into_iter().find(|found| found.release == release) {
            screen.show(&found)?;
            if let Some(upgrade) = &found.upgrade {
                if let Some(is_good) = upgrade.end() {
                    return Ok(if is_good { Ended::Complete } else { Ended::Stopped });
                }
                if upgrade.stalled.is_some() && upgrade.is_seen {
                    return Ok(Ended::Stopped);
                }
            }
        }
        tokio::select! {
            () = moves.next() => {}
            _ = interrupt.recv() => return Ok(Ended::Left),
        }
    }
}
