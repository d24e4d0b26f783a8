//! Standard output, whose reader may have gone: `milvus-guard doctor -o json | head`.

use std::io::Write as _;

use anyhow::Context as _;

/// Writes to standard output; false where its reader has gone, which has seen enough.
///
/// # Errors
/// When it cannot be written for another reason.
pub(super) fn to_stdout(text: &str) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        done => done.map(|()| true).context("cannot write to standard output"),
    }
}

/// Says one line of what is done; that nobody can read it stops nothing.
pub(super) fn say(line: &str) {
    let _ = to_stdout(&format!("{line}\n"));
}
