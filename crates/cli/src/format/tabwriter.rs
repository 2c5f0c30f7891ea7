//! Go's `text/tabwriter` as Docker uses it: cells end in tabs, a column is as wide as its widest cell plus padding, and
//! a column block is a run of consecutive lines that have that column.

use unicode_width::UnicodeWidthStr;

/// Docker's settings: columns of at least this width.
pub(crate) const MIN_WIDTH: usize = 10;
/// Blanks between columns.
pub(crate) const PADDING: usize = 3;

/// Lays out text whose cells end in tabs. The last cell of a line belongs to no column.
pub(crate) fn align(text: &str, min_width: usize, padding: usize) -> String {
    let body = text.strip_suffix('\n').unwrap_or(text);
    if body.is_empty() {
        return text.to_owned();
    }
    let lines: Vec<Vec<&str>> = body.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> =
        lines.iter().map(|cells| vec![0; cells.len().saturating_sub(1)]).collect();
    measure(&lines, &mut widths, 0, 0..lines.len(), min_width, padding);
    let mut out = String::with_capacity(text.len() * 2);
    for (cells, widths) in lines.iter().zip(&widths) {
        for (index, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths.get(index) {
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
            }
        }
        out.push('\n');
    }
    if !text.ends_with('\n') {
        out.pop();
    }
    out
}

/// Finds the width of `column` in each block of `rows` that has it, then of the columns to its right.
fn measure(
    lines: &[Vec<&str>],
    widths: &mut [Vec<usize>],
    column: usize,
    rows: std::ops::Range<usize>,
    min_width: usize,
    padding: usize,
) {
    let has_column = |row: usize| column + 1 < lines[row].len();
    let mut row = rows.start;
    while row < rows.end {
        if !has_column(row) {
            row += 1;
            continue;
        }
        let start = row;
        let mut widest = 0;
        while row < rows.end && has_column(row) {
            widest = widest.max(lines[row][column].width());
            row += 1;
        }
        let width = (widest + padding).max(min_width);
        for widths in &mut widths[start..row] {
            widths[column] = width;
        }
        measure(lines, widths, column + 1, start..row, min_width, padding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_as_in_go() {
        let check = |input: &str, expect: &str| assert_eq!(align(input, 10, 3), expect);
        check("NAMES\tSTATUS\nps2\tExited (5)\n", "NAMES     STATUS\nps2       Exited (5)\n");
        check(
            "A\tB\tC\nlonger-than-ten\tx\ty\n",
            "A                 B         C\nlonger-than-ten   x         y\n",
        );
        check("A\tB\n\nlonger-than-ten\tx\n", "A         B\n\nlonger-than-ten   x\n");
        check("é…\tx\n", "é…        x\n");
        check("\n", "\n");
        check("one\n", "one\n");
        check("a\t\n", "a         \n");
    }
}
