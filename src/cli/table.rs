//! Tables for people.

/// Columns two blanks apart, each as wide as its widest cell; no blanks at the ends of lines.
pub(crate) fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let start = out.len();
        for (cell, width) in row.iter().zip(widths) {
            out.push_str(cell);
            let gap = width + 2 - cell.chars().count();
            out.extend(std::iter::repeat_n(' ', gap));
        }
        let end = out.get(start..).map_or(0, |line| line.trim_end().len());
        out.truncate(start + end);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["é", "b", ""], ["ccc", "d", "e"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "é    b\nccc  d  e\n");
    }
}
