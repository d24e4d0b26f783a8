//! Dotted value paths. Uses nothing, so that the build script can include it.

/// Splits a dotted path into keys; `\.` is a dot inside a key.
#[must_use]
pub fn split_path(path: &str) -> Vec<String> {
    let mut keys = vec![String::new()];
    let mut characters = path.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if characters.peek() == Some(&'.') => {
                characters.next();
                if let Some(last) = keys.last_mut() {
                    last.push('.');
                }
            }
            '.' => keys.push(String::new()),
            c => {
                if let Some(last) = keys.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    keys
}
