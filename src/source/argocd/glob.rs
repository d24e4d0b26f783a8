//! Globs over the paths of the tree: `*` and `?` within a folder, `**` over any number of folders.

/// Whether a path fits a pattern as a whole.
pub(super) fn fits(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    fits_parts(&pattern, &path)
}

/// Whether a text is a pattern at all.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Dynamic over both lists of parts: `**` costs no more than another part.
fn fits_parts(pattern: &[&str], path: &[&str]) -> bool {
    let mut reached = vec![false; path.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for part in pattern {
        let mut next = vec![false; path.len() + 1];
        if *part == "**" {
            let mut any = false;
            for (now, next) in reached.iter().zip(&mut next) {
                any |= *now;
                *next = any;
            }
        } else {
            for ((now, text), next) in reached.iter().zip(path).zip(next.iter_mut().skip(1)) {
                *next = *now && fits_part(part.as_bytes(), text.as_bytes());
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or_default()
}

/// One part, greedy with one point to come back to.
fn fits_part(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (p, t) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_stay_within_a_folder_and_double_stars_do_not() {
        for (pattern, path, expected) in [
            ("apps/*", "apps/milvus", true),
            ("apps/*", "apps/milvus/base", false),
            ("apps/**/config.json", "apps/a/b/config.json", true),
            ("apps/**/config.json", "apps/config.json", true),
            ("**", "a/b", true),
            ("a*c/?", "abbc/x", true),
            ("a*c", "abcd", false),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
    }
}
